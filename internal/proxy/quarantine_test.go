package proxy_test

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// quarantine is a proxy.Quarantine that says what the test says.
type quarantine struct {
	silent chan plan.Silence
	last   atomic.Pointer[plan.Plan]
}

func (q *quarantine) Applied(p *plan.Plan, _ *model.Snapshot) { q.last.Store(p) }
func (q *quarantine) Silent() <-chan plan.Silence             { return q.silent }

// TestSilentEndpointsLeaveTheKernel takes an endpoint out, of one Service among several, and puts it back.
func TestSilentEndpointsLeaveTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		q := &quarantine{silent: make(chan plan.Silence)}
		r.deps.Quarantine, r.deps.Backend = q, inspected{r.kernel}
		a, b := service("a", "10.96.0.1", model.TCP), service("b", "10.96.0.2", model.TCP)
		r.cluster.service(a)
		r.cluster.service(b)
		r.cluster.slices(a.Ref, slice(a, "10.244.0.1 rs", "10.244.0.2 rs"))
		r.cluster.slices(b.Ref, slice(b, "10.244.0.3 rs", "10.244.0.4 rs"))
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		before := r.kernel.dump()
		for range 2 {
			time.Sleep(time.Second)
			q.silent <- plan.Silence{netip.MustParseAddrPort("10.244.0.2:5353"): {}}
			synctest.Wait()
			if got := r.kernel.dump(); strings.Contains(got, "10.244.0.2:5353\n") || !strings.Contains(got, "10.244.0.2:5353 in quarantine") {
				t.Errorf("kernel:\n%s", got)
			}
			if told := q.last.Load(); told == nil || !strings.Contains(told.Dump(), "10.244.0.2:5353 in quarantine") {
				t.Error("the quarantine was not told of the plan that the kernel has")
			}
			time.Sleep(time.Second)
			q.silent <- plan.Silence{}
			synctest.Wait()
			if diff := cmp.Diff(before, r.kernel.dump()); diff != "" {
				t.Errorf("kernel after the end of the silence (-before +after):\n%s", diff)
			}
		}
		for _, c := range r.kernel.history()[1:] {
			if c.full || c.changed != 1 {
				t.Errorf("a sync of %d changed Services, full %t; want the one that is concerned", c.changed, c.full)
			}
		}
	})
}
