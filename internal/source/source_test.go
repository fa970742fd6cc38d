package source

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
)

// forEachEncoding runs a test in a bubble of testing/synctest, once in protobuf and once in JSON.
func forEachEncoding(t *testing.T, f func(t *testing.T, contentType string)) {
	for _, e := range []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON} {
		t.Run(e, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, e) }) })
	}
}

func fill(api *apiServer, services int) {
	api.put(testNode("node-1", "192.0.2.1"))
	api.put(testCIDR("kubernetes", "10.0.0.0/16", "fd00::/108"))
	for i := range services {
		name := fmt.Sprintf("svc-%d", i)
		api.put(testService(name, fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)))
		api.put(testSlice(name+"-b", name, "10.1.0.1"))
		api.put(testSlice(name+"-a", name, "10.1.0.2", "10.1.0.3"))
	}
}

func TestReadsStateThenChanges(t *testing.T) {
	forEachEncoding(t, func(t *testing.T, contentType string) {
		api, _, client := serve(t, contentType)
		fill(api, 10)
		src, r := start(t, client, Config{})
		synctest.Wait()
		r.check(t, api)
		if err := src.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}
		api.put(testSlice("svc-3-a", "svc-4", "10.1.0.9")) // moves to another Service
		api.remove(Services, refOf(testService("svc-5", "")))
		synctest.Wait()
		r.check(t, api)
		if alls, changes := r.counts(); alls != 1 || changes > 4 {
			t.Errorf("%d complete and %d single changes were reported, want 1 and 3 at most", alls, changes)
		}
	})
}

// TestNothingBeforeAllKindsAreRead holds back one kind and expects no snapshot and a Ready that names it.
func TestNothingBeforeAllKindsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		fill(api, 3)
		api.misbehave(apiFaults{Missing: Nodes})
		src, r := start(t, client, Config{})
		time.Sleep(time.Minute)
		if alls, _ := r.counts(); alls != 0 {
			t.Fatal("a snapshot without Nodes was handed out")
		}
		if err := src.Ready(); !errors.Is(err, ErrNotSynced) || !strings.Contains(err.Error(), "nodes: ") {
			t.Errorf("Ready() = %v, want ErrNotSynced that names nodes", err)
		}
		api.misbehave(apiFaults{})
		time.Sleep(time.Minute)
		r.check(t, api)
		if err := src.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}
	})
}

// TestMissingServiceCIDRsCountAsEmpty covers API servers before Kubernetes 1.33.
func TestMissingServiceCIDRsCountAsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		api.put(testService("a", "10.0.0.1"))
		api.misbehave(apiFaults{Missing: ServiceCIDRs})
		src, r := start(t, client, Config{})
		time.Sleep(10 * time.Minute)
		r.check(t, api)
		if err := src.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}
	})
}

func TestSelectorsAndKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		api.put(testNode("node-1", "192.0.2.1"))
		api.put(testNode("node-2", "192.0.2.2"))
		api.put(testService("mine", "10.0.0.1"))
		other := testService("other", "10.0.0.2")
		other.Labels = map[string]string{serviceProxyName: ""}
		api.put(other)
		headless := testSlice("headless", "mine", "10.1.0.1")
		headless.Labels[headlessLabel] = ""
		api.put(headless)
		_, r := start(t, client, Config{
			NodeName: "node-2", ServiceSelector: ProxyServiceSelector, SliceSelector: ProxySliceSelector,
			Kinds: []Kind{Services, EndpointSlices, Nodes},
		})
		synctest.Wait()
		got := contentsOf(r.latest)
		if len(got.Nodes) != 1 || got.Nodes["node-2"] == nil || len(got.Services) != 1 || len(got.Slices) != 0 {
			t.Errorf("unexpected contents: %+v", got)
		}
		changed := testSlice("headless", "mine", "10.1.0.1")
		api.put(changed) // is selected from now on
		other.DeepCopy().Labels = nil
		synctest.Wait()
		if got := contentsOf(r.latest); len(got.Slices) != 1 {
			t.Errorf("a slice that came to match the selector is missing: %+v", got)
		}
	})
}

// TestFaults puts the Source through one fault at a time, changes the state meanwhile, and expects the server's state
// once the fault is over, with no change reported that is none.
func TestFaults(t *testing.T) {
	type bench struct {
		api *apiServer
		net *wire
	}
	change := func(b bench) {
		b.api.remove(Services, refOf(testService("svc-1", "")))
		b.api.remove(EndpointSlices, refOf(testSlice("svc-2-a", "")))
		b.api.put(testService("svc-3", "10.0.9.9"))
		b.api.put(testNode("node-9", "192.0.2.9"))
	}
	for name, fault := range map[string]func(b bench){
		"connections cut": func(b bench) { b.net.cut(); change(b) },
		"outage": func(b bench) {
			b.net.set(true, false)
			change(b)
			time.Sleep(10 * time.Minute)
			b.net.set(false, false)
		},
		"outage and compaction": func(b bench) {
			b.net.set(true, false)
			change(b)
			b.api.compact()
			time.Sleep(time.Hour)
			b.net.set(false, false)
		},
		"silent partition": func(b bench) {
			b.net.set(false, true)
			change(b)
			time.Sleep(20 * time.Minute)
			b.net.set(false, false)
		},
		"expired while watching":   func(b bench) { change(b); b.api.compact() },
		"restored from a backup":   func(b bench) { b.net.set(true, false); b.api.restore(99_000); change(b); b.net.set(false, false) },
		"replaced, higher version": func(b bench) { b.net.set(true, false); b.api.restore(200_000); change(b); b.net.set(false, false) },
		"server errors": func(b bench) {
			b.api.misbehave(apiFaults{Status: 500})
			b.net.cut()
			change(b)
			time.Sleep(time.Minute)
			b.api.misbehave(apiFaults{})
		},
		"overload": func(b bench) {
			b.api.misbehave(apiFaults{Status: 429})
			b.net.cut()
			change(b)
			time.Sleep(time.Minute)
			b.api.misbehave(apiFaults{})
		},
		"frames cut short": func(b bench) {
			b.api.misbehave(apiFaults{CutAfter: 700})
			b.net.cut()
			change(b)
			time.Sleep(time.Minute)
			b.api.misbehave(apiFaults{})
		},
		"events that cannot be decoded": func(b bench) {
			b.api.misbehave(apiFaults{Poison: true})
			b.net.cut()
			change(b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			forEachEncoding(t, func(t *testing.T, contentType string) {
				api, net, client := serve(t, contentType)
				fill(api, 20)
				src, r := start(t, client, Config{})
				synctest.Wait()
				fault(bench{api, net})
				time.Sleep(15 * time.Minute)
				r.check(t, api)
				if err := src.Ready(); err != nil {
					t.Errorf("Ready() = %v", err)
				}
				if alls, changes := r.counts(); alls != 1 || changes != 4 {
					t.Errorf("%d complete and %d single changes were reported, want 1 and 4", alls, changes)
				}
			})
		})
	}
}

// TestRestoredServerIsNoticedAtOnce shows that the source does not wait for the watch to prove silent.
func TestRestoredServerIsNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, net, client := serve(t, runtime.ContentTypeProtobuf)
		fill(api, 5)
		_, r := start(t, client, Config{})
		synctest.Wait()
		net.set(true, false)
		api.restore(500)
		api.remove(Services, refOf(testService("svc-1", "")))
		net.set(false, false)
		time.Sleep(5 * time.Second)
		r.check(t, api)
	})
}

// TestWithoutStreams covers API servers that refuse, or do not know, sendInitialEvents, and tokens that expire.
func TestWithoutStreams(t *testing.T) {
	for name, faults := range map[string]apiFaults{
		"refused":               {NoStreams: true},
		"refused, pages expire": {NoStreams: true, ExpirePages: true},
		"unknown":               {IgnoreStreams: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api, _, client := serve(t, runtime.ContentTypeProtobuf)
				fill(api, pageSize+10)
				api.misbehave(faults)
				_, r := start(t, client, Config{})
				time.Sleep(time.Minute)
				r.check(t, api)
				api.put(testService("svc-1", "10.0.9.9"))
				synctest.Wait()
				r.check(t, api)
			})
		})
	}
}

// TestQuietClusterIsNotReadAgain runs for a day in which nothing happens.
func TestQuietClusterIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, net, client := serve(t, runtime.ContentTypeProtobuf)
		fill(api, 5)
		src, r := start(t, client, Config{})
		time.Sleep(24 * time.Hour)
		net.cut()
		time.Sleep(time.Hour)
		r.check(t, api)
		if err := src.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}
		if n := api.stateReads(); n != 4 {
			t.Errorf("the state was read %d times, want once for each of 4 kinds", n)
		}
	})
}

func TestReadyTellsThatTheStateIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, net, client := serve(t, runtime.ContentTypeProtobuf)
		fill(api, 5)
		src, r := start(t, client, Config{})
		synctest.Wait()
		net.set(true, false)
		time.Sleep(10 * time.Minute)
		if err := src.Ready(); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Ready() = %v, want ErrStale with its cause", err)
		}
		r.check(t, api) // the last state stays
	})
}

// TestConvergesAfterRandomFaults runs random histories with random faults. When they end, the snapshot and a consumer
// that follows Changes alone must both equal the server's state.
func TestConvergesAfterRandomFaults(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 7))
				api, net, client := serve(t, []string{runtime.ContentTypeProtobuf, runtime.ContentTypeJSON}[seed%2])
				_, r := start(t, client, Config{})
				for range 300 {
					mutate(api, rng)
					if rng.IntN(12) == 0 {
						disturb(api, net, rng)
					}
					if rng.IntN(3) == 0 {
						time.Sleep(time.Duration(rng.ExpFloat64() * float64(5*time.Second)))
					}
				}
				net.set(false, false)
				api.misbehave(apiFaults{})
				time.Sleep(15 * time.Minute)
				r.check(t, api)
				if alls, _ := r.counts(); alls != 1 {
					t.Errorf("Changes.All was reported %d times, want once", alls)
				}
			})
		})
	}
}

// disturb begins, or ends, a random fault.
func disturb(api *apiServer, net *wire, rng *rand.Rand) {
	switch rng.IntN(8) {
	case 0:
		net.cut()
	case 1:
		net.set(true, false)
	case 2:
		net.set(false, true)
	case 3:
		api.compact()
	case 4:
		net.set(true, false)
		api.mu.Lock()
		version := api.version
		api.mu.Unlock()
		// Far enough that the new history does not overtake the old one meanwhile: nobody could tell them apart then.
		api.restore(version + []int64{-5000, 5000}[rng.IntN(2)])
	case 5:
		api.misbehave(apiFaults{
			NoStreams: rng.IntN(3) == 0, IgnoreStreams: rng.IntN(3) == 0, ExpirePages: rng.IntN(2) == 0,
			NoBookmarks: rng.IntN(2) == 0, Poison: rng.IntN(4) == 0,
			Status: []int{0, 0, 0, 429, 500, 503, 403}[rng.IntN(7)], CutAfter: rng.IntN(2) * rng.IntN(2000),
		})
	default:
		net.set(false, false)
		api.misbehave(apiFaults{})
	}
}
