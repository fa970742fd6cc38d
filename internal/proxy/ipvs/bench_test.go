package ipvs

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// BenchmarkChange is the cost of one endpoint less and one more among 10,000 Services of 10 endpoints, without that of
// the kernel.
func BenchmarkChange(b *testing.B) {
	backend := newBackend(b, newFakes(b).deps())
	all := planOf(testNode(), many(10000, 10)...)
	mustSync(b, backend, plan.Update{Plan: all})
	ref := model.Ref{Namespace: "default", Name: "s7"}
	s, _ := all.Services.Get(ref)
	fewer := *s
	fewer.Pools = []plan.Pool{s.Pools[0]}
	fewer.Pools[0].Endpoints = s.Pools[0].Endpoints[1:]
	less := &plan.Plan{Node: all.Node, Services: all.Services.With(ref, &fewer)}
	for b.Loop() {
		mustSync(b, backend, plan.Update{Plan: less, Changed: []model.Ref{ref}})
		mustSync(b, backend, plan.Update{Plan: all, Changed: []model.Ref{ref}})
	}
}
