package quarantine_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// cpu returns the CPU time of the process so far, the kernel's on its behalf included.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// translated returns a namespace in which connections to 10.96.0.1:80 reach a server at 127.0.0.1:8080 that hangs up.
func translated(b *testing.B) *lab.Namespace {
	b.Helper()
	l := lab.ForTest(b)
	ns := l.Namespace("node")
	l.Must(ns.AddAddress("lo", netip.MustParsePrefix("10.96.0.1/32")))
	rules := "add table ip n; add chain ip n o { type nat hook output priority -100; }; add rule ip n o ip daddr 10.96.0.1 tcp dport 80 dnat to 127.0.0.1:8080"
	if out, err := ns.Command(b.Context(), "nft", rules).CombinedOutput(); err != nil {
		b.Fatalf("nft: %v: %s", err, out)
	}
	listener, err := ns.Listen(b.Context(), "tcp", netip.MustParseAddrPort("127.0.0.1:8080"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("hello"))
			conn.Close()
		}
	}()
	return ns
}

// watch starts a Watch of the endpoint 127.0.0.1:8080 until the end of the benchmark.
func watch(b *testing.B, ns *lab.Namespace) {
	b.Helper()
	var events *conntrack.Events
	var table *conntrack.Table
	if err := ns.Do(func() (err error) {
		if table, err = conntrack.Open(); err == nil {
			events, err = conntrack.Listen()
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	w := quarantine.New(quarantine.Observe, quarantine.Deps{
		Events: events, Table: table, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	ref := model.Ref{Namespace: "ns", Name: "web"}
	p := &plan.Plan{}
	p.Services = p.Services.With(ref, &plan.Service{Ref: ref, Pools: []plan.Pool{{Protocol: model.TCP, Endpoints: []plan.Endpoint{
		{Addr: netip.MustParseAddrPort("127.0.0.1:8080")}, {Addr: netip.MustParseAddrPort("127.0.0.2:8080")},
	}}}})
	w.Applied(p, &model.Snapshot{})
	done := make(chan error, 1)
	go func() { done <- w.Run(b.Context()) }()
	b.Cleanup(func() {
		<-done
		events.Close()
		table.Close()
	})
}

// BenchmarkConnection is a whole connection through a translation, client and server included: what it costs when nobody
// watches, when the kernel counts bytes, and when a Watch listens too.
func BenchmarkConnection(b *testing.B) {
	for _, mode := range []string{"off", "counting", "watched"} {
		b.Run(mode, func(b *testing.B) {
			ns := translated(b)
			if mode != "off" {
				if err := ns.SetSysctl("net.netfilter.nf_conntrack_acct", "1"); err != nil {
					b.Fatal(err)
				}
			}
			if mode == "watched" {
				watch(b, ns)
			}
			before := cpu(b)
			if err := ns.Do(func() error {
				for b.Loop() {
					if err := connectOnce(); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// connectOnce makes a connection with plain system calls, as cheaply as can be.
func connectOnce() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
		return err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: 80, Addr: [4]byte{10, 96, 0, 1}}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = syscall.Read(fd, make([]byte, 16))
	return err
}

// BenchmarkLookup is one look at a sampled connection, in tables of different sizes.
func BenchmarkLookup(b *testing.B) {
	for _, entries := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			ns := translated(b)
			var table *conntrack.Table
			var last conntrack.Connection
			if err := ns.Do(func() (err error) {
				if table, err = conntrack.Open(); err != nil {
					return err
				}
				last, err = fill(entries)
				return err
			}); err != nil {
				b.Fatal(err)
			}
			defer table.Close()
			for b.Loop() {
				if _, _, err := table.Lookup(last); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill has conntrack remember so many flows, and returns one of them.
func fill(entries int) (conntrack.Connection, error) {
	var c conntrack.Connection
	for i := range (entries + 49_999) / 50_000 {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return c, err
		}
		for port := range min(entries, 50_000) {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}), uint16(10_000+port))
			// Refusals of what was sent before come back as errors.
			_, _ = conn.WriteToUDPAddrPort([]byte("x"), to)
			c.Source, c.Destination, c.Protocol = netip.MustParseAddrPort(conn.LocalAddr().String()), to, model.UDP
		}
		if err := conn.Close(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// BenchmarkLocate is the search of the plan for an endpoint that was not seen before: 10,000 Services of 10 endpoints.
func BenchmarkLocate(b *testing.B) {
	var p plan.Plan
	for i := range 10_000 {
		pool := plan.Pool{Protocol: model.TCP}
		for e := range 10 {
			pool.Endpoints = append(pool.Endpoints, plan.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(e), byte(i >> 8), byte(i)}), 80)})
		}
		ref := model.Ref{Namespace: "ns", Name: fmt.Sprint("s", i)}
		p.Services = p.Services.With(ref, &plan.Service{Ref: ref, Pools: []plan.Pool{pool}})
	}
	wanted := netip.MustParseAddrPort("10.9.39.15:80")
	for b.Loop() {
		if found := quarantine.Locate(&p, wanted); len(found) != 1 {
			b.Fatalf("found %v", found)
		}
	}
}
