package native

import (
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/ingress/policy"
)

// Config is what the engine is told when it is made. Zero fields take the default. What Ingresses and the ConfigMap say comes with
// each table.
type Config struct {
	// HTTP and HTTPS are the addresses that clients connect to, the latter with TLS. Port 0 is any that is free: see Engine.Addresses.
	HTTP, HTTPS []netip.AddrPort
	// Public are the ports that clients know HTTP and HTTPS by, for redirects and X-Forwarded-Port.
	Public policy.Ports
	// HTTP3 serves HTTP/3 too, at the UDP ports of HTTPS, and tells clients so (Alt-Svc).
	HTTP3 bool
	// Passthrough looks at the server names of TLS connections, and hands those of hosts with ssl-passthrough on as they are.
	Passthrough bool
	// Loops is how many event loops there are. Default: GOMAXPROCS.
	Loops int
	// Connections is how many of clients there may be at a time, over all loops; more wait in the kernel's queue. Default 16384 for
	// each loop, as with ingress-nginx.
	Connections int
	// Drain is how long requests may still run when the engine ends. Default 240 s, as worker-shutdown-timeout.
	Drain time.Duration
	// TempDir is where bodies of requests are kept that are too long for memory. Default: that of the system.
	TempDir string
}

// connectionsPerLoop is the default of Config.Connections, for each loop.
const connectionsPerLoop = 16384

func (c Config) withDefaults() Config {
	if c.Loops <= 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	if c.Connections <= 0 {
		c.Connections = connectionsPerLoop * c.Loops
	}
	if c.Drain <= 0 {
		c.Drain = 240 * time.Second
	}
	return c
}

// Deps are what the engine works with.
type Deps struct {
	Log *slog.Logger
	// Access gets the access log, by one goroutine; nil: there is none.
	Access io.Writer
	// Metrics gets the engine's; nil: nobody does.
	Metrics prometheus.Registerer
}
