package iptables

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// BenchmarkScale programs Services into an empty kernel, compares all with it after a restart, and changes one endpoint.
// It reports the processor time of this process and its children, and how many rules and chains there are.
func BenchmarkScale(b *testing.B) {
	for _, v := range variants() {
		for _, n := range []int{1000, 10000} {
			for _, spread := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/services=%d/spread=%t", v, n, spread), func(b *testing.B) {
					for b.Loop() {
						scale(b, v, n, spread)
					}
				})
			}
		}
	}
}

func scale(b *testing.B, v iptables.Variant, n int, spread bool) {
	conn := connIn(b, lab.ForTest(b).Namespace("node"), v)
	p := planOf(testNode(), many(n, 10, spread)...)
	backend := newBackend(b, conn, settings{})
	measure(b, "start", func() { mustSync(b, backend, plan.Update{Plan: p}) })
	rules, chains := size(b, conn)
	b.ReportMetric(float64(rules), "rules")
	b.ReportMetric(float64(chains), "chains")
	backend = newBackend(b, conn, settings{})
	measure(b, "restart", func() {
		if r := mustSync(b, backend, plan.Update{Plan: p}); r.Operations != 0 {
			b.Fatalf("%d operations", r.Operations)
		}
	})
	ref := model.Ref{Namespace: "default", Name: fmt.Sprintf("s%d", n/2)}
	s, _ := p.Services.Get(ref)
	next := &plan.Plan{Node: p.Node, Services: p.Services.With(ref, without(s))}
	measure(b, "change", func() { mustSync(b, backend, plan.Update{Plan: next, Changed: []model.Ref{ref}}) })
	gone := &plan.Plan{Node: p.Node, Services: p.Services.Without(ref)}
	measure(b, "delete", func() { mustSync(b, backend, plan.Update{Plan: gone, Changed: []model.Ref{ref}}) })
	measure(b, "intact", func() {
		if ok, err := backend.Intact(b.Context()); !ok || err != nil {
			b.Fatal(ok, err)
		}
	})
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.HeapAlloc)/1e6, "heapMB")
	runtime.KeepAlive(backend)
}

// size counts rules and chains as iptables-save prints them.
func size(b *testing.B, conn *iptables.Conn) (rules, chains int) {
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		for _, table := range []string{"nat", "filter"} {
			err := conn.Save(b.Context(), f, table, func(line []byte) error {
				switch line[0] {
				case '-':
					rules++
				case ':':
					chains++
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return rules, chains
}

// measure reports the wall-clock time of f, and the processor time of this process and of its children.
func measure(b *testing.B, what string, f func()) {
	cpu, begin := processorTime(), time.Now()
	f()
	b.ReportMetric(time.Since(begin).Seconds()*1000, what+"-ms")
	b.ReportMetric((processorTime()-cpu).Seconds()*1000, what+"-cpu-ms")
}

func processorTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			panic(os.NewSyscallError("getrusage", err))
		}
		total += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return total
}
