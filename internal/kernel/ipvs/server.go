package ipvs

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Key names a virtual server: it takes the new connections whose first packet carries the mark, whatever address and
// port they go to.
type Key struct {
	Family model.Family
	Mark   uint32
}

// String returns the key as ipvsadm(8) writes it.
func (k Key) String() string { return fmt.Sprintf("FWM %d %s", k.Mark, k.Family) }

// Service is a virtual server without its real servers.
type Service struct {
	Key       Key
	Scheduler string
	// Persistence is how long a client keeps its real server, in whole seconds; 0: each connection is scheduled anew.
	Persistence time.Duration
}

// Destination is a real server, reached by translation of the destination address ("masquerading").
type Destination struct {
	Addr netip.AddrPort
	// Weight is its share; 0: it gets no new connections.
	Weight uint32
}

// Server is a real server as the kernel has it.
type Server struct {
	Destination
	// Connections is how many connections the kernel remembers, active and inactive ones.
	Connections uint32
}

// Timeouts are how long the kernel remembers connections without traffic (ipvsadm --set), in whole seconds; 0 leaves a
// timeout as it is.
type Timeouts struct{ TCP, TCPFin, UDP time.Duration }

// Op is what a Change does.
type Op uint8

// The operations, with the kernel's numbers for them (IPVS_CMD_*).
const (
	AddService        Op = 1
	SetService        Op = 2
	DeleteService     Op = 3 // with its real servers
	AddDestination    Op = 5
	SetDestination    Op = 6 // its weight
	DeleteDestination Op = 7
)

// String returns the operation in words.
func (o Op) String() string {
	return [...]string{1: "add", 2: "change", 3: "delete", 5: "add", 6: "change", 7: "delete"}[o]
}

// Change is one change of the kernel's table.
type Change struct {
	Op Op
	// Service is the virtual server; for the operations on destinations only its Key counts.
	Service Service
	// Destination counts for the operations on destinations only.
	Destination Destination
}

// ofDestination reports whether the change is one of a real server.
func (c *Change) ofDestination() bool { return c.Op >= AddDestination }

// String describes the change.
func (c *Change) String() string {
	if c.ofDestination() {
		return fmt.Sprintf("%s real server %s of %s", c.Op, c.Destination.Addr, c.Service.Key)
	}
	return fmt.Sprintf("%s virtual server %s (scheduler %s)", c.Op, c.Service.Key, c.Service.Scheduler)
}
