package zone

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/model"
)

// everyAnswer returns the answers to all names that there are or were, by question.
func everyAnswer(t testing.TB, z *Zones, table *Table, names map[Name]struct{}) map[string][]string {
	for _, zone := range []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."} {
		for n := range z.Names(table, zone) {
			names[n] = struct{}{}
		}
	}
	out := map[string][]string{}
	for n := range names {
		out[fmt.Sprint(n.Name, " ", dns.TypeToString[n.Type])] = sections(t, z, table, n.Name, n.Type)
	}
	return out
}

// TestUpdateEqualsRebuild makes random changes and compares the table that followed them with one made at once of the
// same snapshot, by their answers to every name that ever was and by their indexes.
func TestUpdateEqualsRebuild(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	z, _ := zonesOf(t, Options{})
	w := &world{}
	b := builder{podNames: true}
	table := &Table{seed: maphash.MakeSeed()}
	names := map[Name]struct{}{}
	now := time.Unix(1_800_000_000, 0)
	for step := range 600 {
		for range rng.IntN(3) {
			w.mutate(rng)
		}
		snap, changes := w.take()
		before := table.serial
		table = b.update(table, snap, changes, now)
		if changed := len(changes.Services) > 0 || changes.Namespaces; changed != (table.serial > before) {
			t.Fatalf("step %d: changed is %v, serial was %d and is %d", step, changed, before, table.serial)
		}
		if step%20 != 0 {
			continue
		}
		rebuilt := (&builder{podNames: true}).update(&Table{}, snap, model.Changes{All: true}, now)
		if diff := cmp.Diff(everyAnswer(t, z, rebuilt, names), everyAnswer(t, z, table, names)); diff != "" {
			t.Fatalf("step %d: answers (-rebuilt +updated):\n%s", step, diff)
		}
		if diff := cmp.Diff(rebuilt.count(), table.count()); diff != "" {
			t.Fatalf("step %d: sizes (-rebuilt +updated):\n%s", step, diff)
		}
	}
	if len(names) < 200 {
		t.Errorf("only %d names were ever asked for", len(names))
	}
}

// count returns the numbers of items of all parts.
func (t *Table) count() map[string]int {
	out := map[string]int{"namespaces": t.namespaces.Len()}
	for _, p := range t.names.pages {
		out["names"] += p.taken
	}
	for _, p := range t.addrs.pages {
		for i := 0; p != nil && i < len(p); i++ {
			out["addrs"] += len(p[i])
		}
	}
	for _, p := range t.entries.pages {
		for _, e := range p {
			if e != nil {
				out["entries"]++
			}
		}
	}
	return out
}

// mutate makes one random change. Names and addresses come from small sets, so that they collide, go and come back.
func (w *world) mutate(rng *rand.Rand) {
	ref := model.Ref{Namespace: fmt.Sprintf("ns-%d", rng.IntN(3)), Name: fmt.Sprintf("svc-%d", rng.IntN(8))}
	switch rng.IntN(9) {
	case 0:
		w.namespace(ref.Namespace)
	case 1:
		w.snap.Namespaces = w.snap.Namespaces.Without(ref.Namespace)
		w.changes.Namespaces = true
	case 2:
		w.snap.Services = w.snap.Services.Without(ref)
		w.changed(ref)
	case 3:
		w.service(clusterService(ref, rng.IntN(20)))
	case 4:
		w.service(headlessService(ref))
	case 5:
		w.service(&model.Service{Ref: ref, Type: model.ExternalName, ExternalName: "a.example"})
	case 6:
		w.slices(ref)
	default:
		var all []*model.EndpointSlice
		for i := range rng.IntN(3) {
			s := slice(ref, fmt.Sprintf("%s-%d", ref.Name, i), rng.IntN(30), rng.IntN(6))
			for j := range s.Endpoints {
				s.Endpoints[j].Pod = fmt.Sprintf("pod-%d", rng.IntN(5))
				s.Endpoints[j].Placement = &model.Placement{Hostname: []string{"", "", "a", "b"}[rng.IntN(4)], Zone: "za"}
				if rng.IntN(4) == 0 {
					s.Endpoints[j].Conditions = model.Serving
				}
			}
			all = append(all, s)
		}
		w.slices(ref, all...)
	}
}

// TestTablesAreImmutable keeps early tables and asks them again after the table has moved on.
func TestTablesAreImmutable(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	z, _ := zonesOf(t, Options{})
	w := &world{}
	var b builder
	table := &Table{seed: maphash.MakeSeed()}
	type past struct {
		table   *Table
		answers map[string][]string
	}
	var kept []past
	for step := range 200 {
		w.mutate(rng)
		snap, changes := w.take()
		table = b.update(table, snap, changes, time.Unix(1_800_000_000, 0))
		if step%40 == 0 {
			kept = append(kept, past{table, everyAnswer(t, z, table, map[Name]struct{}{})})
		}
	}
	for i, p := range kept {
		if diff := cmp.Diff(p.answers, everyAnswer(t, z, p.table, map[Name]struct{}{})); diff != "" {
			t.Errorf("table %d changed (-then +now):\n%s", i, diff)
		}
	}
	if len(kept[4].answers) == 0 {
		t.Error("nothing was asked")
	}
}
