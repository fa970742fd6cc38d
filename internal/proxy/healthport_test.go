package proxy_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// startIn runs the rig's Syncer in a namespace until the end of the test.
func (r *rig) startIn(t *testing.T, ns *lab.Namespace) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ns.Do(func() error { return newSyncer(r).Run(ctx) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// answer is what an HTTP server said; Code is 0 if there is none.
type answer struct {
	Code   int
	Weight string
	Body   map[string]any
}

// ask makes a request from within a namespace, on a connection of its own.
func ask(ns *lab.Namespace, address string) answer {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ns.Dial(ctx, "tcp", netip.MustParseAddrPort(address))
		},
	}}
	response, err := client.Get("http://" + address)
	if err != nil {
		return answer{}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	out := answer{Code: response.StatusCode, Weight: response.Header.Get("X-Load-Balancing-Endpoint-Weight")}
	if err != nil || json.Unmarshal(text, &out.Body) != nil || response.Header.Get("Content-Type") != "application/json" {
		return answer{Code: -1}
	}
	return out
}

// eventually fails the test unless the answer becomes what is wanted.
func eventually(t *testing.T, what string, ns *lab.Namespace, address string, want answer) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if diff = cmp.Diff(want, ask(ns, address)); diff == "" {
			return
		}
	}
	t.Errorf("%s: %s (-want +got):\n%s", what, address, diff)
}

// healthAnswer is what the health check of Service "default/lb" says.
func healthAnswer(code, endpoints int, weight string, healthy bool) answer {
	return answer{Code: code, Weight: weight, Body: map[string]any{
		"service":        map[string]any{"namespace": "default", "name": "lb"},
		"localEndpoints": float64(endpoints), "serviceProxyHealthy": healthy,
	}}
}

// local is a Service with externalTrafficPolicy Local.
func local(port uint16) *model.Service {
	s := service("lb", "10.96.0.90", model.TCP, model.UDP)
	s.Type, s.ExternalLocal, s.HealthCheckNodePort = model.LoadBalancer, true, port
	return s
}

// nodeNamespace is a namespace with the address of the Node, and another one.
func nodeNamespace(t *testing.T) *lab.Namespace {
	l := lab.ForTest(t)
	return l.Host(l.LAN("lan"), "node", "192.0.2.11/24", "192.0.2.12/24")
}

func TestRule21_HealthCheckNodePort(t *testing.T) {
	ns, r := nodeNamespace(t), newRig(t)
	s := local(31000)
	r.cluster.service(s)
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl", "10.244.0.2 rsl", "10.244.9.9 rs"))
	r.cluster.sync()
	r.startIn(t, ns)
	eventually(t, "two local endpoints", ns, "192.0.2.11:31000", healthAnswer(200, 2, "2", true))
	if got := ask(ns, "192.0.2.12:31000"); got.Code != 0 {
		t.Errorf("an address that nodePortAddresses does not name answers %v", got)
	}
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 stl", "10.244.0.2 l", "10.244.9.9 rs"))
	eventually(t, "terminating endpoints do not count", ns, "192.0.2.11:31000", healthAnswer(503, 0, "0", true))
	moved := local(31001)
	r.cluster.service(moved)
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl"))
	eventually(t, "another port", ns, "192.0.2.11:31001", healthAnswer(200, 1, "1", true))
	eventually(t, "the old port is closed", ns, "192.0.2.11:31000", answer{})
	r.cluster.remove(s.Ref)
	eventually(t, "no Service", ns, "192.0.2.11:31001", answer{})
}

func TestRule21_AllNodePortAddresses(t *testing.T) {
	ns, r := nodeNamespace(t), newRig(t)
	r.deps.Planner = plan.NewPlanner(plan.Config{NodeName: thisNode, NodePorts: plan.NodePortSelection{All: true}}, nil)
	s := local(31000)
	r.cluster.service(s)
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl"))
	r.cluster.sync()
	r.startIn(t, ns)
	for _, address := range []string{"192.0.2.11:31000", "192.0.2.12:31000", "[::1]:31000"} {
		eventually(t, "every address", ns, address, healthAnswer(200, 1, "1", true))
	}
}

func TestRule21_PortInUseIsAnEventAndIsTriedAgain(t *testing.T) {
	ns, r := nodeNamespace(t), newRig(t)
	taken, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort("192.0.2.11:31000"))
	if err != nil {
		t.Fatal(err)
	}
	s := local(31000)
	r.cluster.service(s)
	r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl"))
	r.cluster.sync()
	r.startIn(t, ns)
	for deadline := time.Now().Add(patience); len(r.events.all()) == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	said := r.events.all()
	if len(said) != 1 || !strings.HasPrefix(said[0], `default/lb FailedToStartServiceHealthcheck node n1 failed to start healthcheck "default/lb" on port 31000`) {
		t.Fatalf("events %q", said)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port is free again", ns, "192.0.2.11:31000", healthAnswer(200, 1, "1", true))
}
