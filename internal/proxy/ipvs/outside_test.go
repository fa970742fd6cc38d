package ipvs

import (
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestOutsideChanges: what another program does to our sets, servers, rules or routes is undone by a comparison of
// everything, and counted as repaired; what is not ours is left alone, by Cleanup too.
func TestOutsideChanges(t *testing.T) {
	f := newFakes(t)
	theirs := ipvs.Service{Key: ipvs.Key{Family: model.IPv4, Mark: 7}, Scheduler: "wlc"}
	theirSet := ipset.Set{Name: "theirs", Kind: ipset.IP, Family: model.IPv4}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	restore := func(text string) {
		t.Helper()
		must(f.rules.Restore(t.Context(), model.IPv4, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }))
	}
	must(f.servers.Run(t.Context(), []ipvs.Change{{Op: ipvs.AddService, Service: theirs}}))
	must(f.sets.Create(t.Context(), theirSet))
	restore("*mangle\n:THEIRS - [0:0]\n-A PREROUTING -j THEIRS\nCOMMIT\n")
	b := newBackend(t, f.deps())
	p := planOf(testNode(), everything()...)
	mustSync(t, b, plan.Update{Plan: p})
	want := f.dump(t)
	frontends := b.families[0].sets[frontends]
	for name, change := range map[string]func(){
		"an entry is deleted": func() {
			must(f.sets.Delete(t.Context(), frontends, []ipset.Entry{{Net: netip.MustParsePrefix("10.96.0.1/32"), Protocol: 6, Port: 80}}))
		},
		"an entry is changed": func() {
			must(f.sets.Add(t.Context(), frontends, []ipset.Entry{{Net: netip.MustParsePrefix("10.96.0.1/32"), Protocol: 6, Port: 80, Mark: 1}}))
		},
		"a virtual server is deleted": func() {
			must(f.servers.Run(t.Context(), []ipvs.Change{{Op: ipvs.DeleteService, Service: ipvs.Service{Key: ipvs.Key{Family: model.IPv4, Mark: 0x8010}}}}))
		},
		"a scheduler is changed": func() {
			must(f.servers.Run(t.Context(), []ipvs.Change{{Op: ipvs.SetService, Service: ipvs.Service{Key: ipvs.Key{Family: model.IPv4, Mark: 0x8010}, Scheduler: "sh"}}}))
		},
		"weights are changed": func() {
			must(f.servers.Run(t.Context(), []ipvs.Change{{
				Op: ipvs.SetDestination, Service: ipvs.Service{Key: ipvs.Key{Family: model.IPv4, Mark: 0x8010}},
				Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.1.0.4:8080"), Weight: 100},
			}}))
		},
		"a chain is emptied":     func() { restore("*mangle\n:" + chainServices + " - [0:0]\nCOMMIT\n") },
		"a jump is deleted":      func() { restore("*nat\n-D POSTROUTING -j " + chainPostroute + "\nCOMMIT\n") },
		"the route is taken off": func() { must(f.routes.DeliverNone(model.IPv6)) },
	} {
		t.Run(name, func(t *testing.T) {
			change()
			if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Repaired == 0 {
				t.Errorf("nothing was repaired")
			}
			if diff := cmp.Diff(want, f.dump(t)); diff != "" || f.routes.marks[model.IPv6] == 0 {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
	must(b.Cleanup(t.Context()))
	for _, kept := range []string{"IPv4 mark 0x7 wlc", "set theirs", "-A PREROUTING -j THEIRS"} {
		if !strings.Contains(f.dump(t), kept) {
			t.Errorf("Cleanup removed %s", kept)
		}
	}
}

// TestRestart: a process that starts on what an earlier one left changes nothing, pools keep their numbers.
func TestRestart(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	p := planOf(testNode(), everything()...)
	mustSync(t, b, plan.Update{Plan: p})
	// Numbers that a start from nothing would not give.
	extra := service("a")
	extra.Pools = []plan.Pool{pool(0, "10.1.9.9:80")}
	extra.Frontends = []plan.Frontend{frontend("10.96.0.9:80", 0, plan.MasqueradeNever)}
	p = planOf(testNode(), append(everything(), extra)...)
	mustSync(t, b, plan.Update{Plan: p, Changed: []model.Ref{extra.Ref}})
	before := f.dump(t)
	b = newBackend(t, f.deps())
	if r := mustSync(t, b, plan.Update{Plan: p, Full: true}); r.Operations != 0 {
		t.Errorf("%d changes after a restart", r.Operations)
	}
	if diff := cmp.Diff(before, f.dump(t)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// TestUnsupported: what the mode cannot do is reported.
func TestUnsupported(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	s := sticky()
	s.Pools[0].Endpoints[0].Addr = netip.MustParseAddrPort("10.1.0.3:9999")
	node := testNode()
	node.NodePorts.Addrs = append(node.NodePorts.Addrs, netip.MustParseAddr("127.0.0.1"))
	report := mustSync(t, b, plan.Update{Plan: planOf(node, s)})
	var got []string
	for _, u := range report.Unsupported {
		got = append(got, u.Capability)
	}
	want := []string{"nodePorts on loopback addresses", "session affinity among endpoints of different ports"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSupported: what the kernel lacks is named, and nothing is left of the trial.
func TestSupported(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	if err := b.Supported(t.Context()); err != nil || f.sets.Dump() != "" {
		t.Errorf("error %v, sets %q", err, f.sets.Dump())
	}
	f.sets.Fault = func(string) error { return ipset.ErrUnsupported }
	if err := b.Supported(t.Context()); err == nil || !strings.Contains(err.Error(), "ip_set_hash_") {
		t.Errorf("without a kind of set: %v", err)
	}
	if err := os.RemoveAll(f.sysctls.Root); err != nil {
		t.Fatal(err)
	}
	if err := b.Supported(t.Context()); err == nil || !strings.Contains(err.Error(), "CONFIG_IP_VS_NFCT") {
		t.Errorf("without IPVS: %v", err)
	}
}

// TestLayout: the fields of a mark do not overlap, wherever the masquerade bit is, and an id survives its mark.
func TestLayout(t *testing.T) {
	for bit := range uint8(32) {
		l := newLayout(bit)
		fields := []uint32{l.route, l.masquerade, l.here, l.sources, l.offCluster, l.port, l.id}
		sum := uint64(0)
		for _, f := range fields {
			sum += uint64(f)
		}
		if sum != 1<<32-1 {
			t.Errorf("bit %d: fields %#x do not fill 32 bits", bit, fields)
		}
		for _, id := range []uint32{idReject, idPools, 1<<idBits - 1} {
			if got := l.idOf(l.mark(id, 63)|l.here|l.masquerade) &^ 0; got != id {
				t.Errorf("bit %d: id %d comes back as %d", bit, id, got)
			}
		}
	}
}
