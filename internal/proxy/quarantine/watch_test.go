package quarantine_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// The bounds that are promised, in the bubble's time, which passes only where the code waits.
const (
	outWithin  = 3 * time.Second
	backWithin = 5 * time.Second
)

// TestSilentEndpointsAreFoundAndReturn in every way of failing, in time.
func TestSilentEndpointsAreFoundAndReturn(t *testing.T) {
	for name, how := range map[string]behaviour{"hung": hung, "refusing": refusing, "unreachable": unreachable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, quarantine.On, "web: 1 2 3")
				w.clients(5*time.Second, "", 1, 2, 3)
				w.set(how, 2)
				if out := w.clients(20*time.Second, "2", 1, 2, 3); out < 0 || out > outWithin {
					t.Errorf("out after %s", out)
				}
				if n := w.metric("switchyard_quarantined_endpoints", ""); n != 1 {
					t.Errorf("%v endpoints are counted as out", n)
				}
				w.set(well, 2)
				if back := w.clients(20*time.Second, "", 1, 2, 3); back < 0 || back > backWithin {
					t.Errorf("back after %s", back)
				}
				if len(w.said) != 2 || !strings.HasPrefix(w.said[0], "web EndpointQuarantined endpoint 10.244.0.2:8080 does not answer (it ") ||
					w.said[1] != "web EndpointAnswers endpoint 10.244.0.2:8080 answers again" {
					t.Errorf("Events %q", w.said)
				}
				for _, name := range []string{"switchyard_quarantined_endpoints", "switchyard_quarantine_silent_endpoints"} {
					if n := w.metric(name, ""); n != 0 {
						t.Errorf("%s is %v afterwards", name, n)
					}
				}
			})
		})
	}
}

// TestNothingIsSilentWithoutAWitness: where no endpoint answers, the fault may be this node's.
func TestNothingIsSilentWithoutAWitness(t *testing.T) {
	for name, how := range map[string]behaviour{"hung": hung, "refusing": refusing, "unreachable": unreachable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, quarantine.On, "web: 1 2", "alone: 3")
				w.clients(5*time.Second, "", 1, 2, 3)
				w.set(how, 1, 2, 3)
				if w.clients(10*time.Second, "never", 1, 2, 3); w.silent != "" {
					t.Errorf("silent: %s", w.silent)
				}
				if n := w.metric("switchyard_quarantine_trials_total", "no_witness"); n == 0 {
					t.Error("no trial was without a witness")
				}
			})
		})
	}
}

// TestSlowEndpointsStay, and are not flooded with probes.
func TestSlowEndpointsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.On, "web: 1 2")
		w.set(slow, 1, 2)
		w.clients(time.Minute, "never", 1, 2)
		if w.silent != "" || len(w.said) > 0 {
			t.Errorf("silent: %s; said %q", w.silent, w.said)
		}
		if n := len(w.dials); n == 0 || n > 2*60*4 {
			t.Errorf("%d probes in a minute", n)
		}
		if n := w.metric("switchyard_quarantine_trials_total", "false_alarm"); n == 0 {
			t.Error("no false alarm was counted")
		}
	})
}

// TestLessons: what probes met while clients were answered says what they are worth later.
func TestLessons(t *testing.T) {
	for _, c := range []struct {
		name            string
		healthy, broken behaviour
		want            string
	}{
		{"it ignores hang-ups, and hangs", behaviour{true, quarantine.Mute}, hung, ""},
		{"it ignores hang-ups, and cannot be reached", behaviour{true, quarantine.Mute}, unreachable, "2"},
		{"this node may not reach it, and clients neither", behaviour{true, quarantine.Unreachable}, unreachable, ""},
		{"this node is refused, and clients too", behaviour{true, quarantine.Refused}, refusing, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, quarantine.On, "web: 1 2")
				w.set(c.healthy, 2)
				w.clients(10*time.Second, "never", 1, 2)
				if w.silent != "" {
					t.Errorf("silent while it answers clients: %s", w.silent)
				}
				w.set(c.broken, 2)
				if w.clients(10*time.Second, "never", 1, 2); w.silent != c.want {
					t.Errorf("silent: %q; want %q", w.silent, c.want)
				}
			})
		})
	}
}

// TestFlappingEndpoints are out most of the time that they fail, and are back in time when they do not.
func TestFlappingEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.On, "web: 1 2")
		w.clients(5*time.Second, "", 1, 2)
		for round := range 10 {
			w.set(hung, 1)
			if out := w.clients(6*time.Second, "1", 1, 2); out < 0 || out > outWithin {
				t.Errorf("round %d: out after %s", round, out)
			}
			w.set(well, 1)
			if back := w.clients(6*time.Second, "", 1, 2); back < 0 || back > backWithin {
				t.Errorf("round %d: back after %s", round, back)
			}
		}
	})
}

// TestObserveOnlyReports: it finds the same, says so, and sends nothing to the planner.
func TestObserveOnlyReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.Observe, "web: 1 2")
		w.clients(5*time.Second, "", 1, 2)
		w.set(hung, 1)
		if w.clients(10*time.Second, "never", 1, 2); w.silent != "" {
			t.Errorf("silent: %s", w.silent)
		}
		if out, silent := w.metric("switchyard_quarantined_endpoints", ""), w.metric("switchyard_quarantine_silent_endpoints", ""); out != 0 || silent != 1 {
			t.Errorf("%v out, %v silent; want 0, 1", out, silent)
		}
		w.set(well, 1)
		w.clients(10*time.Second, "never", 1, 2)
		want := []string{
			"web EndpointNotAnswering endpoint 10.244.0.1:8080 does not answer (it accepts connections and says nothing), but keeps its connections from this node: quarantine is set to observe",
			"web EndpointAnswers endpoint 10.244.0.1:8080 answers again",
		}
		if diff := cmp.Diff(want, w.said); diff != "" {
			t.Errorf("Events (-want +got):\n%s", diff)
		}
	})
}

// TestEndpointsThatStayAreReported: more than half of a Service is silent.
func TestEndpointsThatStayAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.On, "web: 1 2 3")
		w.clients(5*time.Second, "", 1, 2, 3)
		w.set(hung, 1, 2)
		w.clients(10*time.Second, "1 2", 1, 2, 3)
		if w.silent != "1 2" || w.metric("switchyard_quarantined_endpoints", "") != 1 {
			t.Errorf("silent: %s, %v out", w.silent, w.metric("switchyard_quarantined_endpoints", ""))
		}
		stays := func(said string) bool {
			return strings.HasPrefix(said, "web EndpointNotAnswering endpoint 10.244.0.2:8080") && strings.HasSuffix(said, "at most half of the endpoints are taken out")
		}
		if !slices.ContainsFunc(w.said, stays) {
			t.Errorf("Events %q", w.said)
		}
	})
}

// TestManyFailuresAtOnce: 100 of 200 endpoints fail; probes stay within their bounds.
func TestManyFailuresAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var services []string
		var all, half []int
		for i := range 100 {
			services = append(services, "s"+string(rune('a'+i/26))+string(rune('a'+i%26))+": "+numbers([]netip.AddrPort{at(2 * i), at(2*i + 1)}))
			all, half = append(all, 2*i, 2*i+1), append(half, 2*i)
		}
		w := newWorld(t, quarantine.On, services...)
		w.clients(10*time.Second, "", all...)
		w.set(unreachable, half...)
		began := len(w.dials)
		w.clients(20*time.Second, "never", all...)
		if n := len(strings.Fields(w.silent)); n != len(half) {
			t.Errorf("%d are silent; want %d", n, len(half))
		}
		for i, first := range w.dials[began:] {
			if last := i + 250; began+last < len(w.dials) && w.dials[began+last].Sub(first) < time.Second {
				t.Fatalf("250 probes within %s", w.dials[began+last].Sub(first))
			}
		}
	})
}

// TestEndpointsThatAreGoneAreForgotten: one that leaves its Service is no longer silent.
func TestEndpointsThatAreGoneAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.On, "web: 1 2 3")
		w.clients(5*time.Second, "", 1, 2, 3)
		w.set(hung, 3)
		w.clients(5*time.Second, "3", 1, 2, 3)
		w.mu.Lock()
		w.add(0, "web: 1 2")
		w.apply()
		w.mu.Unlock()
		if forgotten := w.clients(10*time.Second, "", 1, 2); forgotten < 0 {
			t.Errorf("silent: %s", w.silent)
		}
	})
}

// TestWithoutEvents: those that are silent still come back.
func TestWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quarantine.On, "web: 1 2")
		w.clients(5*time.Second, "", 1, 2)
		w.set(hung, 2)
		w.clients(5*time.Second, "2", 1, 2)
		w.mu.Lock()
		w.failure = errors.New("no more")
		close(w.events)
		w.events = make(chan conntrack.Connection)
		w.mu.Unlock()
		time.Sleep(time.Second)
		w.set(well, 2)
		if back := w.clients(10*time.Second, ""); back < 0 {
			t.Errorf("silent: %s", w.silent)
		}
	})
}
