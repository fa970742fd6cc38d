package proxy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/model"
)

func TestRule31_NothingBeforeTheCachesHaveSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.start(t)()
		r.cluster.service(service("a", "10.96.0.1", model.TCP))
		time.Sleep(time.Hour)
		if calls := r.kernel.history(); len(calls) != 0 {
			t.Fatalf("programmed before the caches had synced: %v", calls)
		}
		r.cluster.sync()
		synctest.Wait()
		if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
			t.Errorf("kernel (-want +got):\n%s", diff)
		}
	})
}

func TestRule31_LoneChangeIsImmediateAndABurstIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.config.MinSyncPeriod = time.Second
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		start, before := time.Now(), len(r.kernel.history())
		for i := range 9 {
			r.cluster.service(service(fmt.Sprint("a", i), fmt.Sprint("10.96.0.", i+1), model.TCP))
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		var when []string
		for _, c := range r.kernel.history()[before:] {
			when = append(when, fmt.Sprintf("%s: %d changed", c.at.Sub(start), c.changed))
		}
		if diff := cmp.Diff([]string{"0s: 1 changed", "1s: 8 changed"}, when); diff != "" {
			t.Errorf("syncs (-want +got):\n%s", diff)
		}
	})
}

// TestRule31_FailuresLoseNothing changes Services at random while every tenth operation of the kernel fails.
func TestRule31_FailuresLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		rng := rand.New(rand.NewPCG(1, 2))
		r.kernel.fail = func() error {
			if rng.IntN(10) == 0 {
				return errors.New("injected")
			}
			return nil
		}
		r.cluster.sync()
		defer r.start(t)()
		changes := rand.New(rand.NewPCG(3, 4))
		for range 2000 {
			s := service(fmt.Sprint("s", changes.IntN(30)), fmt.Sprint("10.96.1.", 1+changes.IntN(30)), model.TCP, model.UDP)
			switch changes.IntN(3) {
			case 0:
				r.cluster.remove(s.Ref)
			case 1:
				r.cluster.service(s)
			default:
				r.cluster.slices(s.Ref, slice(s, fmt.Sprintf("10.244.0.%d rs", 1+changes.IntN(200))))
			}
			time.Sleep(time.Duration(changes.IntN(50)) * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
			t.Errorf("kernel (-want +got):\n%s", diff)
		}
		failures := 0
		for _, c := range r.kernel.history() {
			if c.failed {
				failures++
			}
		}
		if failures < 20 {
			t.Errorf("only %d failures were injected", failures)
		}
	})
}

func TestRule31_RetriesWithBackOffAndTellsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var broken atomic.Bool
		broken.Store(true)
		r.kernel.fail = func() error {
			if broken.Load() {
				return errors.New("no such device")
			}
			return nil
		}
		r.cluster.service(service("a", "10.96.0.1", model.TCP))
		r.cluster.sync()
		defer r.start(t)()
		time.Sleep(time.Hour)
		calls := r.kernel.history()
		if len(calls) < 300 || len(calls) > 400 {
			t.Errorf("%d attempts in an hour; want about one each 10 s", len(calls))
		}
		if first := calls[1].at.Sub(calls[0].at); first > 100*time.Millisecond {
			t.Errorf("the second attempt came after %s", first)
		}
		if said := r.events.all(); len(said) != 1 || !strings.HasPrefix(said[0], "node FailedToSyncServiceRules") {
			t.Errorf("events %q; want one on the node", said)
		}
		if r.health.Ready() == nil {
			t.Error("ready without any rule in the kernel")
		}
		broken.Store(false)
		time.Sleep(15 * time.Second)
		if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
			t.Errorf("kernel (-want +got):\n%s", diff)
		}
		if err := r.health.Ready(); err != nil {
			t.Errorf("after recovery: %v", err)
		}
	})
}

func TestRule32_RestartReconcilesAndDoesNotFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := service("a", "10.96.0.1", model.TCP), service("b", "10.96.0.2", model.TCP)
		r.cluster.service(a)
		r.cluster.service(b)
		r.cluster.sync()
		stop := r.start(t)
		synctest.Wait()
		stop()
		if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
			t.Fatalf("rules did not outlive the process (-want +got):\n%s", diff)
		}
		r.cluster.remove(b.Ref)
		second := newRig(t)
		second.cluster.service(a)
		second.deps.Backend, r.kernel.calls = r.kernel, nil
		defer second.start(t)()
		time.Sleep(time.Minute)
		if len(r.kernel.history()) != 0 || r.kernel.dump() == "" {
			t.Error("rules were touched before the caches had synced")
		}
		second.cluster.sync()
		synctest.Wait()
		if diff := cmp.Diff(second.want(), r.kernel.dump()); diff != "" {
			t.Errorf("kernel (-want +got):\n%s", diff)
		}
		if r.kernel.tables != 0 {
			t.Error("the rules were cleaned up")
		}
	})
}

func TestOutsideChangesAreRepaired(t *testing.T) {
	for name, limit := range map[string]time.Duration{"told by the backend": 2 * time.Second, "not told": 31 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if strings.HasPrefix(name, "told") {
					r.deps.Backend = inspected{r.kernel}
				}
				r.cluster.service(service("a", "10.96.0.1", model.TCP))
				r.cluster.sync()
				defer r.start(t)()
				time.Sleep(3 * time.Minute)
				before := len(r.kernel.history())
				if name == "told by the backend" && before != 1 {
					t.Errorf("%d syncs although nothing happened", before)
				}
				r.kernel.wipe()
				time.Sleep(limit)
				if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
					t.Errorf("kernel %s later (-want +got):\n%s", limit, diff)
				}
			})
		})
	}
}

// TestOthersAtWorkDoNotMakeUsReadAllTheTime has somebody else write to the kernel each second, but not to our rules.
func TestOthersAtWorkDoNotMakeUsReadAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.deps.Backend = neverIntact{r.kernel}
		r.cluster.sync()
		defer r.start(t)()
		time.Sleep(10 * time.Minute)
		if n := len(r.kernel.history()); n > 30 {
			t.Errorf("%d full syncs in ten minutes; want about one each 30 s", n)
		}
	})
}

func TestRule34_NodeChangesAreFollowedWithoutFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cluster.service(service("a", "10.96.0.1", model.TCP))
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		r.cluster.node(&model.Node{Name: thisNode, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.99")}})
		time.Sleep(time.Second)
		if got := fmt.Sprint(r.kernel.planned().NodePorts.Addrs); got != "[192.0.2.99]" {
			t.Errorf("node ports answer on %s after the node's address changed", got)
		}
		if last := r.kernel.history()[len(r.kernel.history())-1]; !last.full {
			t.Error("the change of the node's address was no full sync")
		}
		r.cluster.deleteNode()
		time.Sleep(time.Second)
		if diff := cmp.Diff(r.want(), r.kernel.dump()); diff != "" {
			t.Errorf("rules after the Node was deleted (-want +got):\n%s", diff)
		}
		if r.kernel.tables != 0 {
			t.Error("the rules were flushed")
		}
	})
}

func TestCheckRefusesBeforeAnythingIsProgrammed(t *testing.T) {
	r := newRig(t)
	refusal := errors.New("no")
	r.deps.Check = func(*model.Snapshot) error { return refusal }
	r.cluster.sync()
	if err := newSyncer(r).Run(t.Context()); !errors.Is(err, refusal) {
		t.Errorf("Run: %v; want the refusal", err)
	}
	if calls := r.kernel.history(); len(calls) != 0 {
		t.Errorf("syncs %v; want none", calls)
	}
}

func TestProblemsBecomeOneEventEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := service("a", "10.96.0.1", model.TCP)
		s.Problems = []model.Problem{{Field: "spec.loadBalancerSourceRanges[0]", Message: `"x" is not a network`}}
		r.cluster.service(s)
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		again := *s
		again.ExternalIPs = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
		r.cluster.service(&again)
		time.Sleep(time.Minute)
		want := []string{`default/a ServiceNotHonoured spec.loadBalancerSourceRanges[0]: "x" is not a network`}
		if diff := cmp.Diff(want, r.events.all()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
