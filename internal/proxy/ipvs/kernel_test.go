package ipvs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/ipvs"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// site is a node with three pods, each of which answers on port 8080 with its number, and a client.
type site struct {
	t      *testing.T
	node   *lab.Namespace
	client *lab.Namespace
	pods   []*lab.Namespace
}

// patience is how long an answer may take that has to come, and silence how long one is waited for that must not.
const (
	answerPatience = 30 * time.Second
	silence        = 500 * time.Millisecond
)

func newSite(t *testing.T) *site {
	t.Helper()
	l := lab.ForTest(t)
	s := &site{t: t, node: l.Namespace("node")}
	l.Must(s.node.SetSysctl("net.ipv4.ip_forward", "1"))
	for i := range 4 {
		ns := l.Namespace(fmt.Sprintf("host%d", i))
		gateway := netip.AddrFrom4([4]byte{10, 1, byte(i), 1})
		addr := gateway.Next()
		l.Must(lab.Link(ns, s.node, lab.LinkOptions{
			A: lab.End{Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)}},
			B: lab.End{Name: fmt.Sprintf("veth%d", i), Addresses: []netip.Prefix{netip.PrefixFrom(gateway, 24)}},
		}))
		l.Must(ns.AddDefaultRoute(gateway))
		if i == 0 {
			s.client = ns
			l.Must(s.node.AddDefaultRoute(addr))
			continue
		}
		s.pods = append(s.pods, ns)
		s.serve(ns, ":8080", fmt.Sprint(i))
	}
	return s
}

// serve answers connections with a line, and then sends back each line that comes.
func (s *site) serve(ns *lab.Namespace, at, name string) {
	var listener net.Listener
	err := ns.Do(func() (err error) { listener, err = net.Listen("tcp4", at); return err })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintln(conn, name)
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, lines.Text())
				}
			}()
		}
	}()
}

// dial connects to an address from a source port, 0: any, and returns the connection and who has answered.
func (s *site) dial(from uint16, to string, patience time.Duration) (net.Conn, string, error) {
	var conn net.Conn
	err := s.client.Do(func() (err error) {
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{Port: int(from)}}
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
		}
		conn, err = dialer.Dial("tcp4", to)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	name, err := talk(conn, "", patience)
	if err != nil {
		conn.Close()
		return nil, "", err
	}
	return conn, name, nil
}

// talk sends a line, unless it is empty, and returns the next one that comes.
func talk(conn net.Conn, line string, patience time.Duration) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if line != "" {
		fmt.Fprintln(conn, line)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return answer, err
}

// ask returns who answers at an address.
func (s *site) ask(to string) string {
	s.t.Helper()
	conn, name, err := s.dial(0, to, answerPatience)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.Close()
	return name
}

const vip = "10.96.0.1:80"

// web returns a plan of one Service at vip with these pods.
func (s *site) web(pods ...int) *plan.Plan {
	node := testNode()
	node.LocalPods, node.NodePorts = plan.LocalPods{}, plan.NodePortAddresses{AnyLocal: true}
	web := service("web")
	web.ClusterIPs = addrs("10.96.0.1")
	var endpoints []string
	for _, p := range pods {
		endpoints = append(endpoints, fmt.Sprintf("10.1.%d.2:8080", p))
	}
	f := frontend(vip, plan.NoPool, plan.MasqueradeNever)
	f.Verdict = plan.Reject
	if len(pods) > 0 {
		web.Pools = []plan.Pool{pool(0, endpoints...)}
		f.Verdict, f.Pool = plan.Forward, 0
	}
	web.Frontends = []plan.Frontend{f}
	return planOf(node, web)
}

func webRef() []model.Ref { return []model.Ref{service("web").Ref} }

// testAsOthersSeeIt compares what another implementation reads with what was written, and has it make virtual servers
// that are none of ours.
func testAsOthersSeeIt(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	var others *moby.Handle
	if err := ns.Do(func() (err error) { others, err = moby.New(""); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(others.Close)
	theirs := []*moby.Service{
		{AddressFamily: syscall.AF_INET, FWMark: 7, SchedName: "rr", Netmask: 0xffffffff},
		{AddressFamily: syscall.AF_INET, Protocol: 6, Address: net.IPv4(10, 96, 0, 1), Port: 80, SchedName: "rr", Netmask: 0xffffffff},
	}
	for _, s := range theirs {
		if err := others.NewService(s); err != nil {
			t.Fatal(err)
		}
	}
	b := newIn(t, ns, Config{Scheduler: "wlc"})
	p := planOf(testNode(), everything()...)
	mustSync(t, b, plan.Update{Plan: p})
	fake := newFakes(t)
	reference, err := New(Config{Scheduler: "wlc"}, fake.deps())
	if err != nil {
		t.Fatal(err)
	}
	mustSync(t, reference, plan.Update{Plan: p})
	want := append(mobyView(t, ns, nil), dumpOf(t, fake.servers.Services, fake.servers.Servers)...)
	slices.Sort(want)
	if diff := cmp.Diff(want, mobyView(t, ns, others)); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations != 0 {
		t.Errorf("a comparison of everything made %d changes", r.Operations)
	}
	for range 2 {
		if err := b.Cleanup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := mobyView(t, ns, others); len(left) != len(theirs) {
		t.Errorf("after Cleanup: %q, want only those of others", left)
	}
	for _, command := range [][]string{{"iptables-save"}, {"ip6tables-save"}, {"ip", "rule"}, {"ip", "-6", "rule"}} {
		out, err := ns.Command(t.Context(), command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
		if strings.Contains(string(out), prefix) || strings.Contains(string(out), "fwmark") {
			t.Errorf("after Cleanup, %v shows:\n%s", command, out)
		}
	}
}

// testSettings: the sysctls and timeouts of the configuration are in force.
func testSettings(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	timeouts := ipvs.Timeouts{TCP: 1000 * time.Second, TCPFin: 90 * time.Second, UDP: 77 * time.Second}
	b := newIn(t, ns, Config{Timeouts: timeouts, StrictARP: true})
	mustSync(t, b, plan.Update{Plan: planOf(testNode())})
	t.Cleanup(func() { _ = b.Cleanup(context.Background()) })
	for key, want := range map[string]int{
		"net.ipv4.vs.conntrack": 1, "net.ipv4.vs.conn_reuse_mode": 1, "net.ipv4.vs.expire_nodest_conn": 1,
		"net.ipv4.vs.expire_quiescent_template": 1, "net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2,
	} {
		if got, err := (inNamespace{ns}).Int(key); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", key, got, err, want)
		}
	}
	err := ns.Do(func() error {
		others, err := moby.New("")
		if err != nil {
			return err
		}
		defer others.Close()
		config, err := others.GetConfig()
		if err == nil && (ipvs.Timeouts{TCP: config.TimeoutTCP, TCPFin: config.TimeoutTCPFin, UDP: config.TimeoutUDP}) != timeouts {
			err = fmt.Errorf("timeouts are %+v, want %+v", config, timeouts)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// testSchedulers: the kernel takes every scheduler, changes from one to the next do no harm, and connections are spread
// as it says: lc evenly over what is open, sh, mh and dh by address.
func testSchedulers(t *testing.T) {
	s := newSite(t)
	b := newIn(t, s.node, Config{})
	t.Cleanup(func() { _ = b.Cleanup(context.Background()) })
	// Those that count connections come first: what others send to one endpoint would count.
	for _, scheduler := range []string{"lc", "wlc", "sed", "nq", "rr", "wrr", "lblc", "lblcr", "sh", "mh", "dh"} {
		b.config.Scheduler, b.last = scheduler, nil // as a restart with another flag
		mustSync(t, b, plan.Update{Plan: s.web(1, 2, 3)})
		open := map[string]int{}
		for range 9 {
			conn, name, err := s.dial(0, vip, answerPatience)
			if err != nil {
				t.Fatalf("%s: %v", scheduler, err)
			}
			defer conn.Close()
			open[name]++
		}
		switch scheduler {
		case "sh", "mh", "dh":
			if len(open) != 1 {
				t.Errorf("%s: one client at one address was answered by %v", scheduler, open)
			}
		case "rr", "wrr":
			if diff := cmp.Diff(map[string]int{"1\n": 3, "2\n": 3, "3\n": 3}, open); diff != "" {
				t.Errorf("%s: -want +got:\n%s", scheduler, diff)
			}
		case "lc", "wlc", "sed", "nq":
			if len(open) != 3 {
				t.Errorf("%s: only %v answered", scheduler, open)
			}
		}
	}
}

// testRemoval: a connection outlives the removal of its endpoint and of the Service, and no new one reaches the endpoint
// from then on: not under load, and not from source ports that IPVS and conntrack remember.
func testRemoval(t *testing.T) {
	s := newSite(t)
	b := newIn(t, s.node, Config{})
	b.patience = 0
	mustSync(t, b, plan.Update{Plan: s.web(1)})
	t.Cleanup(func() { _ = b.Cleanup(context.Background()) })
	conn, _, err := s.dial(0, vip, answerPatience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const first, count = 20000, 30
	for port := range uint16(count) {
		c, name, err := s.dial(first+port, vip, answerPatience)
		if err != nil || name != "1\n" {
			t.Fatalf("port %d: %q %v", port, name, err)
		}
		if port%2 == 0 {
			_ = c.(*net.TCPConn).SetLinger(0) // a reset; the others leave TIME-WAIT
		}
		c.Close()
	}
	check := func(when string) {
		t.Helper()
		if got, err := talk(conn, when, answerPatience); err != nil || got != when+"\n" {
			t.Errorf("the connection, %s: %q %v", when, got, err)
		}
	}
	mustSync(t, b, plan.Update{Plan: s.web(2, 3), Changed: webRef()})
	check("after its endpoint was removed")
	for port := range uint16(count) {
		c, name, err := s.dial(first+port, vip, answerPatience)
		if err != nil || name == "1\n" {
			t.Errorf("source port %d, used again: %q %v", first+port, name, err)
		}
		if c != nil {
			c.Close()
		}
	}
	for range 50 {
		if name := s.ask(vip); name == "1\n" {
			t.Error("a new connection reached the endpoint that is gone")
		}
	}
	mustSync(t, b, plan.Update{Plan: s.web(), Changed: webRef()})
	check("after all were")
	for _, port := range []uint16{0, first + 1, first} {
		if _, name, err := s.dial(port, vip, answerPatience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without endpoints, from source port %d: %q %v", port, name, err)
		}
	}
	mustSync(t, b, plan.Update{Plan: s.web(1), Full: true})
	check("after its endpoint came back")
}

// testUnreachable: no server of the node's own is reached through a cluster IP, used or not, or through a port of it that
// is none of the Service's.
func testUnreachable(t *testing.T) {
	s := newSite(t)
	b := newIn(t, s.node, Config{})
	mustSync(t, b, plan.Update{Plan: s.web(1)})
	t.Cleanup(func() { _ = b.Cleanup(context.Background()) })
	s.serve(s.node, ":80", "node")
	s.serve(s.node, ":22", "node")
	s.serve(s.client, ":22", "client") // where the node's default route leads
	if name := s.ask("10.1.0.1:22"); name != "node\n" {
		t.Fatalf("the node's own server does not answer: %q", name)
	}
	if name := s.ask(vip); name != "1\n" {
		t.Errorf("%s is answered by %q", vip, name)
	}
	for _, to := range []string{"10.96.0.1:22", "10.96.0.2:80", "10.96.0.2:22"} {
		if _, name, err := s.dial(0, to, silence); err == nil {
			t.Errorf("%s is answered by %q", to, name)
		}
	}
}
