package proxytest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// fault is what happens to an endpoint.
type fault string

const (
	none    fault = ""
	stopped fault = "stopped" // its process is, by SIGSTOP
	killed  fault = "killed"
	dropped fault = "dropped" // a firewall of its host swallows its packets
	unplugs fault = "unplugs" // the node that it is on loses its network
)

// failing is a Service some of whose endpoints fail.
type failing struct {
	name      string
	endpoints []string // hosts
	victims   []string
	fault     fault
	how       manner
	// out are the endpoints that must be taken out; the others must stay.
	out []string
	// family of the clients; from a host outside by the node port where nodePort is set, else from a pod.
	family   model.Family
	nodePort bool
	affinity bool

	index    int
	children map[string]*os.Process // of the victims
	load     *load
	failed   time.Time // when the fault began
	gone     time.Time // when the endpoints were out
	healed   time.Time
	back     time.Time
}

// endpointCases are faults of single endpoints.
func endpointCases() []*failing {
	three, two := []string{"local-1", "local-2", "remote-1"}, []string{"local-1", "remote-1"}
	return []*failing{
		{name: "hung", endpoints: three, victims: []string{"remote-1"}, fault: stopped, out: []string{"remote-1"}},
		{name: "hung-ipv6", endpoints: two, victims: []string{"local-1"}, fault: stopped, out: []string{"local-1"}, family: model.IPv6},
		{name: "killed", endpoints: two, victims: []string{"remote-1"}, fault: killed, out: []string{"remote-1"}, nodePort: true},
		{name: "dropped", endpoints: three, victims: []string{"local-2"}, fault: dropped, out: []string{"local-2"}},
		{name: "sticky", endpoints: two, victims: two[:1], fault: stopped, out: two[:1], affinity: true},
		{
			name: "half", endpoints: append(three, "remote-2"), victims: three, fault: stopped,
			out: []string{"local-1", "local-2"},
		},
		{name: "alone", endpoints: two[:1], victims: two[:1], fault: stopped},
		{name: "all", endpoints: two, victims: two, fault: stopped},
		{name: "slow", endpoints: two, how: slow},
		{name: "silent", endpoints: two, how: silent},
		{name: "deaf", endpoints: two, victims: two[1:], fault: stopped, how: deaf},
		{name: "deaf-dropped", endpoints: two, victims: two[1:], fault: dropped, how: deaf, out: two[1:]},
	}
}

// lostNodeCases lose all endpoints of another node at once.
func lostNodeCases() []*failing {
	remote := []string{"remote-1", "remote-2"}
	return []*failing{
		{name: "lost", endpoints: append([]string{"local-1", "local-2"}, remote...), victims: remote, fault: unplugs, out: remote},
		{name: "uplink", endpoints: remote, victims: remote, fault: unplugs},
	}
}

// port is the one that the Service's endpoints listen on.
func (f *failing) port() int { return 7100 + f.index }

// address is where the Service's clients connect to.
func (f *failing) address() netip.AddrPort {
	switch {
	case f.nodePort:
		return netip.AddrPortFrom(nodeAddrs()[2], uint16(30100+f.index))
	case f.family == model.IPv6:
		return netip.MustParseAddrPort(fmt.Sprintf("[fd00:96::6%02d]:80", f.index))
	}
	return netip.MustParseAddrPort(fmt.Sprintf("10.96.6.%d:80", f.index))
}

// yaml returns the Service and its slices.
func (f *failing) yaml() string {
	session := "None"
	if f.affinity {
		session = "ClientIP"
	}
	text := fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: ns}
spec:
  type: NodePort
  clusterIP: 10.96.6.%d
  clusterIPs: [10.96.6.%d, "fd00:96::6%02d"]
  ports: [{port: 80, protocol: TCP, nodePort: %d}]
  sessionAffinity: %s
`, f.name, f.index, f.index, f.index, 30100+f.index, session)
	family := f.family
	if family == 0 {
		family = model.IPv4
	}
	var list []string
	for _, name := range f.endpoints {
		h, _ := findHost(name)
		list = append(list, fmt.Sprintf(`{addresses: ["%s"], nodeName: %s}`, h.in(family), h.node))
	}
	return text + fmt.Sprintf(`
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: ns, labels: {kubernetes.io/service-name: %s}}
addressType: %s
ports: [{protocol: TCP, port: %d}]
endpoints: [%s]
`, f.name, f.name, family, f.port(), strings.Join(list, ", "))
}

// serve starts the servers of a Service: those that are to be stopped or killed in processes of their own.
func (w *ward) serveFailing(f *failing) {
	f.children = map[string]*os.Process{}
	for _, host := range f.endpoints {
		address := fmt.Sprintf(":%d", f.port())
		if f.affinity || slices.Contains(f.victims, host) && (f.fault == stopped || f.fault == killed) {
			f.children[host] = w.child(host, f.how, host, address)
			continue
		}
		listener, err := w.namespaces[host].Listen(w.t.Context(), "tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(f.port())))
		w.must(err)
		go serveManner(w.t.Context(), listener, f.how, host)
	}
}

// strike makes the victims of a Service fail, and heal ends it.
func (w *ward) strike(f *failing) {
	f.failed = time.Now()
	for _, host := range f.victims {
		switch f.fault {
		case stopped:
			w.must(f.children[host].Signal(syscall.SIGSTOP))
		case killed:
			w.must(f.children[host].Signal(syscall.SIGKILL))
		case dropped:
			w.firewall(host, "-I", f.port())
		}
	}
}

func (w *ward) heal(f *failing) {
	f.healed = time.Now()
	for _, host := range f.victims {
		switch f.fault {
		case stopped:
			w.must(f.children[host].Signal(syscall.SIGCONT))
		case killed:
			f.children[host] = w.child(host, f.how, host, fmt.Sprintf(":%d", f.port()))
		case dropped:
			w.firewall(host, "-D", f.port())
		}
	}
}

// firewall has a host swallow what comes in for a port, with "-I", or with "-D" no longer.
func (w *ward) firewall(host, action string, port int) {
	command := w.namespaces[host].Command(w.t.Context(), "iptables", "-w", action, "INPUT", "-p", "tcp", "--dport", fmt.Sprint(port), "-j", "DROP")
	if out, err := command.CombinedOutput(); err != nil {
		w.t.Fatalf("%s in %s: %v: %s", command, host, err, out)
	}
}

// plug connects node-2 with the LAN, or cuts it off.
func (w *ward) plug(in bool) {
	link, err := w.namespaces["node-2"].Netlink().LinkByName("lan0")
	w.must(err)
	bridge := w.lan.Namespace().Netlink()
	port, err := bridge.LinkByIndex(link.Attrs().ParentIndex)
	w.must(err)
	if in {
		w.must(bridge.LinkSetUp(port))
	} else {
		w.must(bridge.LinkSetDown(port))
	}
}

const (
	// wardPatience bounds what takes seconds at worst: only a failure takes as long.
	wardPatience = 2 * time.Minute
	// wardPause is how long connections may take that wait for an endpoint which has come back.
	wardPause = 5 * time.Second
	// observation is how long it is watched that nothing more happens.
	observation = 3 * time.Second
)

// until waits for a condition of a Service.
func (w *ward) until(f *failing, what string, met func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(wardPatience); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not %s after %s; out are %v", f.name, what, wardPatience, w.out(f.name))
		}
	}
}

// run runs the cases all at once.
func (w *ward) run(cases []*failing) {
	w.begin(cases)
	for _, f := range cases {
		w.strike(f)
		if f.fault == unplugs {
			w.plug(false)
		}
	}
	w.untilAll(cases, "taken out", func(f *failing) *time.Time { return &f.gone }, func(f *failing) bool {
		return slices.Equal(w.out(f.name), f.out)
	})
	<-time.After(observation) // time itself is what is tested
	for _, f := range cases {
		if diff := cmp.Diff(f.out, w.out(f.name)); diff != "" {
			w.t.Errorf("%s: out (-want +got):\n%s", f.name, diff)
		}
		w.expectStayed(f)
	}
	for _, f := range cases {
		w.heal(f)
		if f.fault == unplugs {
			w.plug(true)
		}
	}
	w.untilAll(cases, "put back", func(f *failing) *time.Time { return &f.back }, func(f *failing) bool { return len(w.out(f.name)) == 0 })
	var ending sync.WaitGroup
	for _, f := range cases {
		ending.Go(func() { f.load.end(wardPause) })
	}
	ending.Wait()
	for _, f := range cases {
		w.conclude(f)
	}
}

// begin brings up the Services and their clients, and waits until every endpoint was seen to answer.
func (w *ward) begin(cases []*failing) {
	w.mu.Lock()
	for i, f := range cases {
		f.index = i + 1
		if f.how == "" {
			f.how = prompt
		}
		w.must(w.objects.add(f.yaml()))
	}
	w.mu.Unlock()
	w.wake <- struct{}{}
	for _, f := range cases {
		w.serveFailing(f)
		from := "local-3"
		if f.nodePort {
			from = "client"
		}
		f.load = startLoad(w.namespaces[from], f.address(), f.how != silent)
		w.t.Cleanup(func() { f.load.end(0) })
	}
	began := time.Now()
	for _, f := range cases {
		switch {
		case f.how == silent:
		case f.affinity:
			w.until(f, "answered", func() bool { return f.load.answeredBy("local-1", began) || f.load.answeredBy("remote-1", began) })
			if !f.load.answeredBy(f.victims[0], began) {
				f.victims, f.out = f.endpoints[1:], f.endpoints[1:] // the client sticks to the other one
			}
		default:
			for _, host := range f.endpoints {
				w.until(f, "answered by "+host, func() bool { return f.load.answeredBy(host, began) })
			}
		}
	}
	<-time.After(observation) // for what has to be learned of endpoints that are only slow
}

// untilAll waits until all cases have met a condition, and notes when each did.
func (w *ward) untilAll(cases []*failing, what string, at func(*failing) *time.Time, met func(*failing) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), wardPatience)
	defer cancel()
	for {
		missing := ""
		for _, f := range cases {
			if at(f).IsZero() && met(f) {
				*at(f) = time.Now()
			}
			if at(f).IsZero() {
				missing += fmt.Sprintf(" %s (out: %v)", f.name, w.out(f.name))
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("not %s after %s:%s", what, wardPatience, missing)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// expectStayed fails the test if an endpoint was ever taken out that must not be, or no Event tells of one that was.
func (w *ward) expectStayed(f *failing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, host := range f.endpoints {
		// Of more than may be out, others may be for a moment, until all are found.
		if w.everOut[f.name+" "+host] && !slices.Contains(f.out, host) && (len(f.out) == 0 || !slices.Contains(f.victims, host)) {
			w.t.Errorf("%s: %s was taken out", f.name, host)
		}
	}
	if told := strings.Contains(w.events.String(), f.name+" EndpointQuarantined"); told != (len(f.out) > 0) {
		w.t.Errorf("%s: an Event says that an endpoint is out: %t", f.name, told)
	}
}

// conclude looks at what became of the connections to a Service.
func (w *ward) conclude(f *failing) {
	attempts := f.load.attempts
	var last time.Duration
	wrong := 0
	for _, a := range attempts {
		if len(f.out) == 0 || len(f.out) < len(f.victims) || a.began.Before(f.failed) || a.began.After(f.healed) {
			continue
		}
		if a.server != "" && !slices.Contains(f.out, a.server) {
			continue
		}
		last = max(last, a.began.Sub(f.failed))
		if a.began.After(f.gone) {
			wrong++
		}
	}
	if wrong > 0 {
		w.t.Errorf("%s: %d connections went to %v after they were out", f.name, wrong, f.out)
	}
	if len(f.out) > 0 {
		w.t.Logf("%s: %v out after %.2f s, last new connection after %.2f s, back after %.2f s, of %d connections",
			f.name, f.out, f.gone.Sub(f.failed).Seconds(), last.Seconds(), f.back.Sub(f.healed).Seconds(), len(attempts))
	}
}
