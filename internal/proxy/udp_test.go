package proxy_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// flow reads "destination = who answers".
func flow(text string) conntrack.Flow {
	to, from, _ := strings.Cut(text, " = ")
	return conntrack.Flow{
		Source: netip.MustParseAddrPort("192.0.2.200:40000"), Destination: netip.MustParseAddrPort(to),
		ReplySource: netip.MustParseAddrPort(from),
	}
}

// left returns which of the flows are still there.
func left(t *conntrack.Fake, flows []string) []string {
	var out []string
	for _, text := range flows {
		f := flow(text)
		if strings.Contains(t.Dump(), f.Destination.String()+" = "+f.ReplySource.String()+"\n") {
			out = append(out, text)
		}
	}
	return out
}

// dns is a UDP Service on 10.96.0.53:53 with an external IP, a load balancer's and node port 30053.
func dns() *model.Service {
	s := service("dns", "10.96.0.53", model.UDP)
	s.Type = model.LoadBalancer
	s.Ports[0].NodePort = 30053
	s.ExternalIPs = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
	s.Ingress = []model.BalancerAddress{{Addr: netip.MustParseAddr("203.0.113.2")}}
	return s
}

func TestRule27_StaleUDPFlowsAreEnded(t *testing.T) {
	for _, c := range []struct {
		name      string
		endpoints []string
		flows     []string
		stay      []string
	}{
		{
			name:      "who answers serves no more",
			endpoints: []string{"10.244.0.1 rs"},
			flows: []string{
				"10.96.0.53:53 = 10.244.0.1:5353", "10.96.0.53:53 = 10.244.0.2:5353", "10.96.0.53:53 = 10.244.0.1:53",
				"203.0.113.1:53 = 10.244.0.2:5353", "203.0.113.2:53 = 10.244.0.2:5353", "192.0.2.11:30053 = 10.244.0.2:5353",
			},
			stay: []string{"10.96.0.53:53 = 10.244.0.1:5353"},
		}, {
			name:      "flows that nobody translated",
			endpoints: []string{"10.244.0.1 rs"},
			flows:     []string{"10.96.0.53:53 = 10.96.0.53:53"},
		}, {
			name:      "flows that are none of ours",
			endpoints: []string{"10.244.0.1 rs"},
			flows: []string{
				"10.96.0.53:54 = 10.244.0.2:5353", "10.96.0.54:53 = 10.244.0.2:5353", "198.51.100.1:30053 = 198.51.100.1:30053",
				"10.244.0.2:5353 = 10.244.0.2:5353",
			},
			stay: []string{
				"10.96.0.53:54 = 10.244.0.2:5353", "10.96.0.54:53 = 10.244.0.2:5353", "198.51.100.1:30053 = 198.51.100.1:30053",
				"10.244.0.2:5353 = 10.244.0.2:5353",
			},
		}, {
			name:      "no endpoints: node port flows stay, as a port number says too little",
			endpoints: nil,
			flows:     []string{"10.96.0.53:53 = 10.244.0.2:5353", "203.0.113.2:53 = 10.244.0.2:5353", "192.0.2.11:30053 = 10.244.0.2:5353"},
			stay:      []string{"192.0.2.11:30053 = 10.244.0.2:5353"},
		}, {
			name:      "terminating endpoints that still serve keep their flows, though new ones go elsewhere",
			endpoints: []string{"10.244.0.1 rs", "10.244.0.2 st", "10.244.0.3 t"},
			flows:     []string{"10.96.0.53:53 = 10.244.0.2:5353", "10.96.0.53:53 = 10.244.0.3:5353"},
			stay:      []string{"10.96.0.53:53 = 10.244.0.2:5353"},
		}, {
			name:      "published though not ready",
			endpoints: []string{"10.244.0.1 r"},
			flows:     []string{"10.96.0.53:53 = 10.244.0.1:5353"},
			stay:      []string{"10.96.0.53:53 = 10.244.0.1:5353"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				s := dns()
				r.cluster.service(s)
				r.cluster.slices(s.Ref, slice(s, c.endpoints...))
				for _, f := range c.flows {
					r.conntrack.Add(flow(f))
				}
				r.cluster.sync()
				defer r.start(t)()
				synctest.Wait()
				if diff := cmp.Diff(c.stay, left(r.conntrack, c.flows)); diff != "" {
					t.Errorf("flows that stay (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRule27_LocalPolicyAndTopologyDoNotCount: an endpoint that the rules do not use now keeps the flows it has, and
// loses them when it is gone, although that changes no rule.
func TestRule27_LocalPolicyAndTopologyDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := service("dns", "10.96.0.53", model.UDP)
		s.InternalLocal = true
		flows := []string{"10.96.0.53:53 = 10.244.0.2:5353"}
		r.cluster.service(s)
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl", "10.244.0.2 rs"))
		r.conntrack.Add(flow(flows[0]))
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		if diff := cmp.Diff(flows, left(r.conntrack, flows)); diff != "" {
			t.Errorf("flows to an endpoint on another node (-want +got):\n%s", diff)
		}
		syncs := len(r.kernel.history())
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rsl"))
		synctest.Wait()
		if got := left(r.conntrack, flows); got != nil {
			t.Errorf("flows %q outlive their endpoint", got)
		}
		if len(r.kernel.history()) != syncs {
			t.Error("the kernel's rules were written although none changed")
		}
	})
}

func TestRule27_CostsNothingWithoutUDPAndOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.deps.Backend = inspected{r.kernel} // no full sync of its own accord
		web, udp := service("web", "10.96.0.80", model.TCP), dns()
		r.cluster.service(web)
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		r.cluster.slices(web.Ref, slice(web, "10.244.0.1 rs"))
		time.Sleep(time.Minute)
		if n := r.conntrack.Lists(); n != 0 {
			t.Errorf("listed %d times without a UDP Service", n)
		}
		r.cluster.service(udp)
		r.cluster.slices(udp.Ref, slice(udp, "10.244.0.2 rs"))
		time.Sleep(time.Minute)
		before := r.conntrack.Lists()
		r.cluster.slices(web.Ref, slice(web, "10.244.0.3 rs"))
		time.Sleep(time.Second)
		if n := r.conntrack.Lists() - before; n != 0 {
			t.Errorf("listed %d times for the change of a TCP Service", n)
		}
	})
}

func TestRule27_CleansAfterProgrammingAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := dns()
		flows := []string{"10.96.0.53:53 = 10.244.0.2:5353"}
		r.cluster.service(s)
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs"))
		r.conntrack.Add(flow(flows[0]))
		var broken atomic.Bool
		broken.Store(true)
		r.kernel.fail = func() error {
			if broken.Load() {
				return errors.New("injected")
			}
			return nil
		}
		failures := 3
		r.conntrack.Fail = func(string) error {
			if failures > 0 {
				failures--
				return errors.New("injected")
			}
			return nil
		}
		r.cluster.sync()
		defer r.start(t)()
		time.Sleep(time.Minute)
		if r.conntrack.Lists() != 0 {
			t.Error("flows were ended before the rules were in the kernel: their next packet would bring them back")
		}
		broken.Store(false)
		time.Sleep(time.Minute)
		if got := left(r.conntrack, flows); got != nil {
			t.Errorf("flows %q are left after failures that passed", got)
		}
	})
}

func TestRule28_OnlyUDPIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s := service("web", "10.96.0.80", model.TCP, model.SCTP)
		r.cluster.service(s)
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs"))
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		r.cluster.slices(s.Ref, slice(s))
		time.Sleep(time.Minute)
		if n := r.conntrack.Lists(); n != 0 {
			t.Errorf("flows were listed %d times for TCP and SCTP, which keep theirs", n)
		}
	})
}

// TestRule27_NodePortsOnAnyAddress limits node port flows to the node's own addresses.
func TestRule27_NodePortsOnAnyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		own := []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("198.51.100.7")}
		r.deps.Planner = plan.NewPlanner(plan.Config{NodeName: thisNode}, own)
		s := dns()
		r.cluster.service(s)
		r.cluster.slices(s.Ref, slice(s, "10.244.0.1 rs"))
		flows := []string{"198.51.100.7:30053 = 10.244.0.2:5353", "198.51.100.8:30053 = 198.51.100.8:30053"}
		for _, f := range flows {
			r.conntrack.Add(flow(f))
		}
		r.cluster.sync()
		defer r.start(t)()
		synctest.Wait()
		if diff := cmp.Diff(flows[1:], left(r.conntrack, flows)); diff != "" {
			t.Errorf("flows that stay (-want +got):\n%s", diff)
		}
	})
}
