package nftables

import (
	"fmt"
	"slices"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// BenchmarkColdStart programs everything into an empty kernel.
func BenchmarkColdStart(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			p := planOf(testNode(), many(n, 10)...)
			conn := connIn(b, lab.ForTest(b).Namespace("node"))
			b.ReportAllocs()
			for b.Loop() {
				backend := newBackend(b, conn)
				mustSync(b, backend, plan.Update{Plan: p})
				b.StopTimer()
				if err := backend.Cleanup(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkRestart compares everything with a kernel that holds it already.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			p := planOf(testNode(), many(n, 10)...)
			conn := connIn(b, lab.ForTest(b).Namespace("node"))
			mustSync(b, newBackend(b, conn), plan.Update{Plan: p})
			b.ReportAllocs()
			for b.Loop() {
				if r := mustSync(b, newBackend(b, conn), plan.Update{Plan: p}); r.Operations != 0 {
					b.Fatalf("%d operations", r.Operations)
				}
			}
		})
	}
}

// BenchmarkChange takes an endpoint from a Service, replaces it, or deletes the Service, and takes that back, in turns.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		for _, kind := range []string{"count", "address", "service"} {
			b.Run(fmt.Sprintf("services=%d/%s", n, kind), func(b *testing.B) {
				p := planOf(testNode(), many(n, 10)...)
				ref := model.Ref{Namespace: "default", Name: fmt.Sprintf("s%d", n/2)}
				s, _ := p.Services.Get(ref)
				next := p.Services.Without(ref)
				if kind != "service" {
					next = p.Services.With(ref, changed(s, kind))
				}
				plans := [2]*plan.Plan{p, {Node: p.Node, Services: next}}
				backend := newBackend(b, connIn(b, lab.ForTest(b).Namespace("node")))
				mustSync(b, backend, plan.Update{Plan: p})
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					i++
					mustSync(b, backend, plan.Update{Plan: plans[i%2], Changed: []model.Ref{ref}})
				}
			})
		}
	}
}

// changed returns a Service with its last endpoint gone, or replaced.
func changed(s *plan.Service, kind string) *plan.Service {
	c := *s
	c.Pools = slices.Clone(s.Pools)
	list := slices.Clone(s.Pools[0].Endpoints)
	if kind == "count" {
		list = list[:len(list)-1]
	} else {
		list[len(list)-1].Addr = list[0].Addr
	}
	c.Pools[0].Endpoints = list
	return &c
}
