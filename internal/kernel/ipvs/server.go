package ipvs

import (
	"net/netip"
	"time"
)

// Key names a virtual server.
type Key struct {
	Addr     netip.AddrPort
	Protocol uint8 // an IP protocol number: TCP, UDP or SCTP
}

// Service is a virtual server without its real servers.
type Service struct {
	Key       Key
	Scheduler string
	// Persistence is how long a client keeps its real server, in whole seconds; 0: each connection is scheduled anew.
	Persistence time.Duration
}

// Destination is a real server, reached by translation of the destination address ("masquerading").
type Destination struct {
	Addr   netip.AddrPort
	Weight uint32
}

// Timeouts are how long the kernel remembers connections without traffic (ipvsadm --set), in whole seconds; 0 leaves a
// timeout as it is.
type Timeouts struct{ TCP, TCPFin, UDP time.Duration }
