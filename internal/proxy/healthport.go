package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// reasonHealthPort is kube-proxy's reason of the Event for a health check node port that cannot be opened.
const reasonHealthPort = "FailedToStartServiceHealthcheck"

// requestPatience bounds how long a client may take to send the header of a request.
const requestPatience = 10 * time.Second

// healthPorts serves the health check node ports of Services with externalTrafficPolicy Local
// (k8s.io/kubernetes/pkg/proxy/healthcheck/service_health.go). It is used from one goroutine.
type healthPorts struct {
	nodeName string
	families []model.Family
	health   *Health
	events   Events
	log      *slog.Logger

	addrs []netip.Addr // listened on; unspecified ones mean all of the family
	ports map[model.Ref]*healthPort
}

// healthPort is the health check of one Service.
type healthPort struct {
	ref     model.Ref
	service *model.Service
	port    uint16
	health  *Health
	// endpoints is the number of distinct ready endpoints on this node.
	endpoints atomic.Int64
	// server is nil while the port could not be opened.
	server *http.Server
	// complaint is the error that users were told about last.
	complaint string
}

func newHealthPorts(config Config, deps Deps) *healthPorts {
	return &healthPorts{
		nodeName: config.NodeName, families: config.Families, health: deps.Health, events: deps.Events, log: deps.Log,
		ports: map[model.Ref]*healthPort{},
	}
}

// listenOn moves all health checks to the addresses that node ports are answered on.
func (h *healthPorts) listenOn(on plan.NodePortAddresses) {
	h.addrs = on.Addrs
	if on.AnyLocal {
		h.addrs = nil
		for _, f := range h.families {
			if f == model.IPv4 {
				h.addrs = append(h.addrs, netip.IPv4Unspecified())
			} else {
				h.addrs = append(h.addrs, netip.IPv6Unspecified())
			}
		}
	}
	for _, p := range h.ports {
		p.stop()
	}
}

// update follows a Service from one plan to the next; nil stands for none. Ports are opened by retry, after all that are
// no longer needed were closed.
func (h *healthPorts) update(snapshot *model.Snapshot, before, after *plan.Service) {
	if after == nil || after.Health == nil {
		if before != nil && h.ports[before.Ref] != nil {
			h.ports[before.Ref].stop()
			delete(h.ports, before.Ref)
		}
		return
	}
	p := h.ports[after.Ref]
	if p != nil && p.port != after.Health.Port {
		p.stop()
		p = nil
	}
	if p == nil {
		p = &healthPort{ref: after.Ref, port: after.Health.Port, health: h.health}
		h.ports[after.Ref] = p
	}
	p.service, _ = snapshot.Services.Get(after.Ref)
	p.endpoints.Store(int64(after.Health.LocalReady))
}

// retry opens the ports that are not open.
func (h *healthPorts) retry() {
	for _, p := range h.ports {
		if p.server != nil {
			continue
		}
		err := p.start(h.addrs)
		if err == nil {
			p.complaint = ""
			h.log.Info("serving a health check node port", "service", p.ref, "port", p.port)
			continue
		}
		if p.complaint == err.Error() {
			continue
		}
		p.complaint = err.Error()
		message := fmt.Sprintf("node %s failed to start healthcheck %q on port %d: %v", h.nodeName, p.ref, p.port, err)
		h.log.Error("cannot serve a health check node port; trying again", "service", p.ref, "port", p.port, "error", err)
		if p.service != nil {
			h.events.ServiceWarning(p.service, reasonHealthPort, message)
		}
	}
}

// close stops all servers.
func (h *healthPorts) close() {
	for _, p := range h.ports {
		p.stop()
	}
}

// start listens on all addresses, or on none and returns an error.
func (p *healthPort) start(addrs []netip.Addr) error {
	server := &http.Server{Handler: p, ReadHeaderTimeout: requestPatience}
	var listeners []net.Listener
	for _, addr := range addrs {
		network := "tcp4"
		if addr.Is6() {
			network = "tcp6"
		}
		var config net.ListenConfig
		listener, err := config.Listen(context.Background(), network, netip.AddrPortFrom(addr, p.port).String())
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return err
		}
		listeners = append(listeners, listener)
	}
	for _, l := range listeners {
		// Serve ends with the server's Close; a listener fails in no other way.
		go func() { _ = server.Serve(l) }()
	}
	p.server = server
	return nil
}

func (p *healthPort) stop() {
	if p.server != nil {
		_ = p.server.Close()
		p.server = nil
	}
}

// ServeHTTP answers 200 if this node has a ready endpoint of the Service and a proxy that keeps up, else 503.
func (p *healthPort) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	endpoints, healthy := p.endpoints.Load(), p.health.healthy()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.FormatInt(endpoints, 10))
	if endpoints == 0 || !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	var body struct {
		Service struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
		LocalEndpoints      int64 `json:"localEndpoints"`
		ServiceProxyHealthy bool  `json:"serviceProxyHealthy"`
	}
	body.Service.Namespace, body.Service.Name = p.ref.Namespace, p.ref.Name
	body.LocalEndpoints, body.ServiceProxyHealthy = endpoints, healthy
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "\t")
	// An error here is that of a client that went away.
	_ = encoder.Encode(body)
}
