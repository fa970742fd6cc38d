package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// world is a cluster that changes at random.
type world struct {
	rng  *rand.Rand
	snap model.Snapshot
	made int
}

func ref(name string) model.Ref { return model.Ref{Namespace: "default", Name: name} }

// step changes one object, and returns what has changed.
func (w *world) step() model.Changes {
	set := func(r model.Ref) map[model.Ref]struct{} { return map[model.Ref]struct{}{r: {}} }
	s := &w.snap
	switch w.rng.IntN(10) {
	case 0, 1, 2, 3, 4:
		r := ref(fmt.Sprintf("ingress-%d", w.rng.IntN(12)))
		s.Ingresses = s.Ingresses.With(r, w.ingress(r))
		return model.Changes{Ingresses: set(r)}
	case 5:
		r := ref(fmt.Sprintf("ingress-%d", w.rng.IntN(12)))
		s.Ingresses = s.Ingresses.Without(r)
		return model.Changes{Ingresses: set(r)}
	case 6:
		r := ref(fmt.Sprintf("service-%d", w.rng.IntN(4)))
		if w.rng.IntN(3) == 0 {
			s.Services = s.Services.Without(r)
		} else {
			s.Services = s.Services.With(r, &model.Service{Ref: r, Ports: []model.ServicePort{{Name: "http", Port: 80, Protocol: model.TCP}}})
		}
		return model.Changes{Services: set(r)}
	case 7:
		r := ref(fmt.Sprintf("service-%d", w.rng.IntN(4)))
		slice := &model.EndpointSlice{Ref: r, Service: r.Name, Family: model.IPv4, Ports: []model.EndpointPort{{Name: "http", Port: 8080, Protocol: model.TCP}}}
		for range w.rng.IntN(3) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(w.rng.IntN(9) + 1)})
			slice.Endpoints = append(slice.Endpoints, model.Endpoint{Addr: a, Conditions: model.Ready | model.Serving, Placement: &model.Placement{}})
		}
		s.Slices = s.Slices.With(r, []*model.EndpointSlice{slice})
		return model.Changes{Services: set(r)}
	case 8:
		r := ref("users")
		secret := &model.Secret{Ref: r, Data: map[string][]byte{"auth": []byte("u:x\n")}}
		if w.rng.IntN(2) == 0 {
			secret = &model.Secret{Ref: r, Problem: "does not exist"}
		}
		s.Secrets = s.Secrets.With(r, secret)
		return model.Changes{Secrets: set(r)}
	}
	r := ref("config")
	s.ConfigMaps = s.ConfigMaps.With(r, &model.ConfigMap{Ref: r, Data: map[string]string{"ssl-redirect": fmt.Sprint(w.rng.IntN(2) == 0)}})
	return model.Changes{ConfigMaps: set(r)}
}

func (w *world) ingress(r model.Ref) *model.Ingress {
	w.made++
	ing := &model.Ingress{Ref: r, Created: time.Unix(int64(w.rng.IntN(5)), 0)}
	backend := func() model.IngressBackend {
		return model.IngressBackend{Service: fmt.Sprintf("service-%d", w.rng.IntN(5)), Port: 80}
	}
	for _, a := range []model.Annotation{
		{Name: "auth-secret", Value: "users"},
		{Name: "auth-type", Value: "basic"},
		{Name: "canary", Value: "true"},
		{Name: "from-to-www-redirect", Value: "true"},
		{Name: "proxy-body-size", Value: []string{"1m", "bad"}[w.rng.IntN(2)]},
		{Name: "server-alias", Value: []string{"h1.example.com", "alias.example.com,*.deep", "~^x", ".dot"}[w.rng.IntN(4)]},
		{Name: "use-regex", Value: "true"},
	} {
		if w.rng.IntN(5) == 0 {
			ing.Annotations = append(ing.Annotations, a)
		}
	}
	for range w.rng.IntN(3) {
		rule := model.IngressRule{Host: []string{"h1.example.com", "h2.example.com", "www.h1.example.com", "*.example.com", ""}[w.rng.IntN(5)]}
		for range w.rng.IntN(4) {
			path := []string{"/", "/a", "/a/", "/a/b", "/(x|y)", "/bad(?=x)"}[w.rng.IntN(6)]
			rule.Paths = append(rule.Paths, model.IngressPath{Path: path, Type: model.PathType(w.rng.IntN(3)), Backend: backend()})
		}
		ing.Rules = append(ing.Rules, rule)
	}
	if w.rng.IntN(3) == 0 {
		b := backend()
		ing.Default = &b
	}
	return ing
}

// TestUpdateIsBuild changes a cluster at random, and compares each table with one that is made from nothing.
func TestUpdateIsBuild(t *testing.T) {
	config := Config{ConfigMap: ref("config"), DefaultBackend: ref("service-0")}
	w := &world{rng: rand.New(rand.NewPCG(7, 8))}
	b := New(config)
	b.Update(&w.snap, model.Changes{All: true})
	for step := range 1500 {
		changes := w.step()
		snap := w.snap
		table, problems := b.Update(&snap, changes)
		want, wantProblems := Build(&snap, config)
		if diff := cmp.Diff(want.Dump(), table.Dump()); diff != "" {
			t.Fatalf("step %d, %v: table (-want +got):\n%s", step, changes, diff)
		}
		if diff := cmp.Diff(wantProblems, problems); diff != "" {
			t.Fatalf("step %d, %v: problems (-want +got):\n%s", step, changes, diff)
		}
		for _, name := range []string{"h1.example.com", "x.example.com", "y.x.example.com", "alias.example.com", "a.b.deep", "deep", "dot", "a.dot", "xy", "www.h1.example.com", "other"} {
			if got, want := table.Host(name).Name, want.Host(name).Name; got != want {
				t.Fatalf("step %d: Host(%q) = %q, want %q", step, name, got, want)
			}
		}
	}
	if len(b.backends.all) > 30 || len(b.hosts) > 6 || len(b.secretUsers) > 1 {
		t.Errorf("%d backends, %d hosts, %d Secrets are remembered", len(b.backends.all), len(b.hosts), len(b.secretUsers))
	}
}

// TestUpdateKeepsWhatDidNotChange: locations keep their numbers, and hosts, locations and pools that no change concerns are the same
// values.
func TestUpdateKeepsWhatDidNotChange(t *testing.T) {
	snap := cluster(3)
	b := New(Config{})
	before, _ := b.Update(snap, model.Changes{All: true})
	next := *snap
	r := ref("ingress-1")
	ing, _ := next.Ingresses.Get(r)
	changed := *ing
	changed.Annotations = model.Annotations{{Name: "proxy-body-size", Value: "8m"}}
	next.Ingresses = next.Ingresses.With(r, &changed)
	after, _ := b.Update(&next, model.Changes{Ingresses: map[model.Ref]struct{}{r: {}}})

	if before.Host(hostName(0)) != after.Host(hostName(0)) {
		t.Error("another Ingress's host is another value")
	}
	old, now := before.Host(hostName(1)).Match("/"), after.Host(hostName(1)).Match("/")
	if old == now || old.Number != now.Number || old.Backend.ID != now.Backend.ID || now.Settings.Proxy.MaxBody != 8<<20 {
		t.Errorf("the changed location: number %d then %d, backend %d then %d, body %d", old.Number, now.Number, old.Backend.ID, now.Backend.ID, now.Settings.Proxy.MaxBody)
	}
	if before.Pool(old.Backend) != after.Pool(now.Backend) {
		t.Error("the pool is another value")
	}
	svc := ref("service-2")
	next2 := next
	next2.Slices = next2.Slices.Without(svc)
	last, _ := b.Update(&next2, model.Changes{Services: map[model.Ref]struct{}{svc: {}}})
	for i := range 3 {
		if after.Host(hostName(i)) != last.Host(hostName(i)) {
			t.Errorf("host %d is another value after a change of a slice", i)
		}
	}
	location := last.Host(hostName(2)).Match("/")
	if p := last.Pool(location.Backend); len(p.Endpoints) != 0 || p.Problem == "" || len(after.Pool(location.Backend).Endpoints) != 2 {
		t.Errorf("pool without slices: %+v; the one before: %+v", p, after.Pool(location.Backend))
	}
}

func hostName(i int) string { return fmt.Sprintf("app-%05d.example.com", i) }

// cluster returns n Ingresses, each with a host of its own, two paths and a Service of two endpoints.
func cluster(n int) *model.Snapshot {
	var s model.Snapshot
	edit := new(model.Edit)
	for i := range n {
		svc, name := ref(fmt.Sprintf("service-%d", i)), ref(fmt.Sprintf("ingress-%d", i))
		backend := model.IngressBackend{Service: svc.Name, PortName: "http"}
		s.Ingresses = s.Ingresses.WithIn(edit, name, &model.Ingress{
			Ref: name, Created: time.Unix(int64(i), 0),
			Rules: []model.IngressRule{{Host: hostName(i), Paths: []model.IngressPath{
				{Path: "/", Type: model.PathPrefix, Backend: backend}, {Path: "/api", Type: model.PathPrefix, Backend: backend},
			}}},
		})
		s.Services = s.Services.WithIn(edit, svc, &model.Service{Ref: svc, Ports: []model.ServicePort{{Name: "http", Port: 80, Protocol: model.TCP}}})
		slice := &model.EndpointSlice{Ref: svc, Service: svc.Name, Family: model.IPv4, Ports: []model.EndpointPort{{Name: "http", Port: 8080, Protocol: model.TCP}}}
		for e := range 2 {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(e + 1)})
			slice.Endpoints = append(slice.Endpoints, model.Endpoint{Addr: a, Conditions: model.Ready | model.Serving, Placement: &model.Placement{}})
		}
		s.Slices = s.Slices.WithIn(edit, svc, []*model.EndpointSlice{slice})
	}
	return &s
}

func TestHostDoesNotAllocate(t *testing.T) {
	table, _ := Build(cluster(10), Config{})
	for _, name := range []string{hostName(3), "nobody.example.com", "a.b.c"} {
		if n := testing.AllocsPerRun(100, func() { table.Host(name) }); n != 0 {
			t.Errorf("Host(%q) allocates %v times", name, n)
		}
	}
}

// BenchmarkLookup is what a request costs: its cost at 10,000 Ingresses is to be at most 1.2 times that at one.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		table, _ := Build(cluster(n), Config{})
		name := hostName(n / 2)
		b.Run(fmt.Sprintf("ingresses=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if table.Host(name).Match("/api/v1/users") == nil {
					b.Fatal("no location")
				}
			}
		})
	}
}

// BenchmarkUpdate is what the change of one Ingress costs, and that of one Service's slices.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 10000} {
		snap := cluster(n)
		builder := New(Config{})
		builder.Update(snap, model.Changes{All: true})
		r, svc := ref(fmt.Sprintf("ingress-%d", n/2)), ref(fmt.Sprintf("service-%d", n/2))
		ing, _ := snap.Ingresses.Get(r)
		b.Run(fmt.Sprintf("ingress/of=%d", n), func(b *testing.B) {
			for b.Loop() {
				changed := *ing
				next := *snap
				next.Ingresses = next.Ingresses.With(r, &changed)
				builder.Update(&next, model.Changes{Ingresses: map[model.Ref]struct{}{r: {}}})
			}
		})
		slices, _ := snap.Slices.Get(svc)
		b.Run(fmt.Sprintf("slice/of=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				next := *snap
				changed := *slices[0]
				changed.Endpoints = changed.Endpoints[:1+i%2]
				next.Slices = next.Slices.With(svc, []*model.EndpointSlice{&changed})
				builder.Update(&next, model.Changes{Services: map[model.Ref]struct{}{svc: {}}})
			}
		})
		b.Run(fmt.Sprintf("all/of=%d", n), func(b *testing.B) {
			for b.Loop() {
				Build(snap, Config{})
			}
		})
	}
}
