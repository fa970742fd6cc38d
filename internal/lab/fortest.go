package lab

import (
	"net/netip"
	"strings"
)

// TB is the part of testing.TB that Topology needs.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Topology is a lab for a test: every method fails the test on an error, and the end of the test removes it.
type Topology struct {
	*Lab
	tb TB
}

// ForTest returns an empty lab named for the test. It sweeps the leftovers of test processes that were killed.
func ForTest(tb TB) *Topology {
	tb.Helper()
	if err := Sweep(); err != nil {
		tb.Fatalf("sweep the namespaces of dead processes: %v", err)
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && validName.MatchString(string(r)) {
			return r
		}
		return '_'
	}, tb.Name())
	l, err := New(name[:min(len(name), 100)])
	if err != nil {
		tb.Fatalf("make a lab (network namespaces need root): %v", err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("remove the lab: %v", err)
		}
	})
	return &Topology{Lab: l, tb: tb}
}

// Namespace makes a namespace.
func (t *Topology) Namespace(name string) *Namespace {
	t.tb.Helper()
	ns, err := t.NewNamespace(name)
	if err != nil {
		t.tb.Fatalf("%v", err)
	}
	return ns
}

// LAN makes a segment.
func (t *Topology) LAN(name string) *LAN {
	t.tb.Helper()
	lan, err := t.NewLAN(name, 0)
	if err != nil {
		t.tb.Fatalf("%v", err)
	}
	return lan
}

// Host makes a namespace that is on the segment, as eth0, with these addresses (in the form "192.0.2.1/24").
func (t *Topology) Host(lan *LAN, name string, addresses ...string) *Namespace {
	t.tb.Helper()
	ns := t.Namespace(name)
	prefixes := make([]netip.Prefix, len(addresses))
	for i, address := range addresses {
		prefix, err := netip.ParsePrefix(address)
		if err != nil {
			t.tb.Fatalf("address of %s: %v", name, err)
		}
		prefixes[i] = prefix
	}
	t.Must(lan.Join(ns, "eth0", prefixes...))
	return ns
}

// Must fails the test if an error is not nil.
func (t *Topology) Must(err error) {
	t.tb.Helper()
	if err != nil {
		t.tb.Fatalf("%v", err)
	}
}
