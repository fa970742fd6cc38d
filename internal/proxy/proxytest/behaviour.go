package proxytest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

// behaviour runs what takes more than one packet to show, each part with a backend of its own.
func (n *network) behaviour(t *testing.T, newBackend NewBackend, without []string) {
	for _, part := range []struct {
		name string
		run  func(*subject)
	}{
		{"Rule11_AffinityIsSharedByAddresses", (*subject).affinityIsShared},
		{"Rule11_AffinityMovesOnWhenTheEndpointIsGone", (*subject).affinityMovesOn},
		{"Rule11_AffinityExpires", (*subject).affinityExpires},
		{"Rule11_AffinityIsRefreshed", (*subject).affinityIsRefreshed},
		{"Rule28_EstablishedConnectionsKeepTheirEndpoint", (*subject).establishedConnections},
		{"Rule29_InvalidPackets", (*subject).invalidPackets},
		{"Rule31_ChangesUnderLoad", (*subject).changesUnderLoad},
		{"Rule32_RestartUnderLoad", (*subject).restartUnderLoad},
		{"EvenSpread", (*subject).evenSpread},
		{"CleanupIsCompleteAndIdempotent", (*subject).cleanup},
	} {
		if slices.Contains(without, part.name) {
			continue
		}
		t.Run(part.name, func(t *testing.T) {
			s := newSubject(t, n, newBackend)
			part.run(s)
		})
	}
}

// subject is a backend that is kept at one Service, web, whose endpoints change.
type subject struct {
	*network
	t          *testing.T
	newBackend NewBackend
	backend    proxy.Backend
	planner    *plan.Planner
	objects    *objects
}

func newSubject(t *testing.T, n *network, newBackend NewBackend) *subject {
	objects, err := baseObjects()
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{network: n, t: t, newBackend: newBackend, objects: objects}
	s.configure("")
	s.start()
	return s
}

// configure sets what config.yaml sets for a scenario.
func (s *subject) configure(yaml string) {
	c, err := parseConfig(yaml)
	if err != nil {
		s.t.Fatal(err)
	}
	s.planner = plan.NewPlanner(c.plan, nodeAddrs())
}

// start makes a backend, as a starting process does, in place of the one before.
func (s *subject) start() {
	backend := s.newBackend(s.t, s.namespaces[thisNode])
	s.backend = backend
	s.t.Cleanup(func() {
		if err := backend.Cleanup(context.Background()); err != nil {
			s.t.Errorf("Cleanup: %v", err)
		}
	})
}

// The addresses of the Service web.
const (
	webClusterIP  = "10.96.5.1:80"
	webClusterIP6 = "[fd00:96::501]:80"
	webVIP        = "203.0.113.51:80"
	webNodePort   = "192.168.10.11:30051"
)

// web gives the Service web these endpoints and, unless it is 0, this affinity timeout.
func (s *subject) web(affinity time.Duration, endpoints ...string) {
	s.t.Helper()
	session := "None"
	if affinity > 0 {
		session = fmt.Sprintf("ClientIP\n  sessionAffinityConfig: {clientIP: {timeoutSeconds: %d}}", affinity/time.Second)
	}
	yaml := fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns}
spec:
  type: LoadBalancer
  clusterIP: 10.96.5.1
  clusterIPs: [10.96.5.1, "fd00:96::501"]
  ports: [{name: t, port: 80, protocol: TCP, nodePort: 30051}, {name: u, port: 80, protocol: UDP, nodePort: 30051}, {name: s, port: 80, protocol: SCTP, nodePort: 30051}]
  sessionAffinity: %s
status: {loadBalancer: {ingress: [{ip: 203.0.113.51}]}}
`, session)
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		yaml += s.slice(f, endpoints)
	}
	if err := s.objects.add(yaml); err != nil {
		s.t.Fatal(err)
	}
	s.sync()
}

func (s *subject) slice(f model.Family, endpoints []string) string {
	var list []string
	for _, name := range endpoints {
		h, err := findHost(name)
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(`{addresses: ["%s"], nodeName: %s}`, h.in(f), h.node))
	}
	return fmt.Sprintf(`
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-%d, namespace: ns, labels: {kubernetes.io/service-name: web}}
addressType: %s
ports: [{name: t, protocol: TCP, port: 8080}, {name: u, protocol: UDP, port: 8080}, {name: s, protocol: SCTP, port: 8080}]
endpoints: [%s]
`, f, f, strings.Join(list, ", "))
}

// sync brings the backend up to date.
func (s *subject) sync() {
	s.t.Helper()
	snap, changes := s.objects.snapshot()
	s.network.sync(s.t, s.backend, s.planner, Step{Snapshot: snap, Changes: changes})
}

// to returns the packet that a host sends to "ADDRESS:PORT/PROTOCOL".
func (s *subject) to(host, destination string) Probe {
	s.t.Helper()
	var p Probe
	if err := p.parsePacket(host, destination); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// ask connects once and returns who answered.
func (s *subject) ask(host, destination string) string {
	s.t.Helper()
	p := s.to(host, destination)
	o := s.connect(host, p.Packet, answerPatience)
	if o.server == "" {
		s.t.Fatalf("%s -> %s: %s", host, destination, o)
	}
	return o.server
}

// talk opens a connection that stays open, and returns it with the name of its server and a function that fails the
// test unless the server still answers on it.
func (s *subject) talk(host, destination string) (server string, check func(when string)) {
	s.t.Helper()
	p := s.to(host, destination)
	conn, o := s.open(host, p.Packet, answerPatience)
	if conn == nil {
		s.t.Fatalf("%s -> %s: %s", host, destination, o)
	}
	s.t.Cleanup(func() { conn.Close() })
	return o.server, func(when string) {
		s.t.Helper()
		if err := echo(conn, when); err != nil {
			s.t.Errorf("the connection of %s through %s to %s, %s: %v", host, destination, o.server, when, err)
		}
	}
}

// echo sends a line and expects it back.
func echo(conn net.Conn, line string) error {
	if err := conn.SetDeadline(time.Now().Add(answerPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\n", line); err != nil {
		return err
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(got) != line {
		return fmt.Errorf("%q came back", got)
	}
	return nil
}
