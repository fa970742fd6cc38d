package ingress

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestClasses(t *testing.T) {
	var snap model.Snapshot
	for _, c := range []*model.IngressClass{
		{Name: "nginx", Controller: ControllerNginx}, {Name: "own", Controller: ControllerOwn}, {Name: "other", Controller: "example.com/other"},
	} {
		snap.IngressClasses = snap.IngressClasses.With(c.Name, c)
	}
	withDefault := snap
	withDefault.IngressClasses = snap.IngressClasses.With("own", &model.IngressClass{Name: "own", Controller: ControllerOwn, Default: true})
	othersDefault := snap
	othersDefault.IngressClasses = snap.IngressClasses.With("other", &model.IngressClass{Name: "other", Controller: "example.com/other", Default: true})
	without, byName, one := DefaultClasses(), DefaultClasses(), DefaultClasses()
	without.WithoutClass = true
	byName.ByName, byName.Name = true, "other"
	one.Controllers = []string{"example.com/other"}
	for name, c := range map[string]struct {
		classes           Classes
		snap              model.Snapshot
		class, annotation string
		want              bool
	}{
		"class of ingress-nginx":              {DefaultClasses(), snap, "nginx", "", true},
		"class of our own":                    {DefaultClasses(), snap, "own", "", true},
		"class of another":                    {DefaultClasses(), snap, "other", "", false},
		"class that does not exist":           {DefaultClasses(), snap, "typo", "", false},
		"class before annotation":             {DefaultClasses(), snap, "other", "nginx", false},
		"annotation":                          {DefaultClasses(), snap, "", "nginx", true},
		"annotation of another":               {DefaultClasses(), withDefault, "", "own", false},
		"neither":                             {DefaultClasses(), snap, "", "", false},
		"neither, and a default class":        {DefaultClasses(), withDefault, "", "", true},
		"neither, another's default class":    {DefaultClasses(), othersDefault, "", "", false},
		"neither, --watch-ingress-without-…":  {without, snap, "", "", true},
		"another's class, chosen by its name": {byName, snap, "other", "", true},
		"another controller":                  {one, snap, "other", "", true},
		"another controller, nginx":           {one, snap, "nginx", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			i := &model.Ingress{Class: c.class, ClassAnnotation: c.annotation}
			if got := c.classes.in(&c.snap).has(i); got != c.want {
				t.Errorf("ours: %t, want %t", got, c.want)
			}
		})
	}
}

// TestOwnsOfManifests has no class of the Ingresses among what was read.
func TestOwnsOfManifests(t *testing.T) {
	var snap model.Snapshot
	snap.IngressClasses = snap.IngressClasses.With("other", &model.IngressClass{Name: "other", Controller: "example.com/other"})
	for class, want := range map[string]bool{"nginx": true, "": true, "other": false, "elsewhere": false} {
		i := &model.Ingress{Class: class}
		if got := DefaultClasses().Owns(&snap, true)(i); got != want {
			t.Errorf("class %q of manifests is ours: %t, want %t", class, got, want)
		}
		if DefaultClasses().Owns(&snap, false)(i) {
			t.Errorf("class %q of a whole cluster, where it does not exist, is ours", class)
		}
	}
	if DefaultClasses().Owns(&snap, true)(&model.Ingress{ClassAnnotation: "other"}) {
		t.Error("an Ingress with another's annotation is ours")
	}
}

func TestClassAndNamespaceChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		selected := func(l model.Labels) bool { return strings.Contains(string(l), "team") }
		b := start(t, Config{Namespaces: selected}, nil)
		b.cluster.put(testIngress("a", withTLS("cert"), func(i *model.Ingress) { i.Class = "mine" }))
		b.inForce("no such class, no such namespace", "[]")
		b.cluster.change(model.Changes{Namespaces: true}, func(s *model.Snapshot) {
			s.Namespaces = s.Namespaces.With("shop", &model.Namespace{Name: "shop", Labels: "team\x00a\x00"})
		})
		b.cluster.change(model.Changes{IngressClasses: true}, func(s *model.Snapshot) {
			s.IngressClasses = s.IngressClasses.With("mine", &model.IngressClass{Name: "mine", Controller: ControllerOwn})
		})
		b.cluster.secret("cert", "")
		b.inForce("both are there", "[a@1]")
		b.cluster.change(model.Changes{Namespaces: true}, func(s *model.Snapshot) {
			s.Namespaces = s.Namespaces.With("shop", &model.Namespace{Name: "shop"})
		})
		b.inForce("the namespace is no longer selected", "[]")
		if wants := b.cluster.wants(); len(wants) != 0 {
			t.Errorf("still read: %q", wants)
		}
		b.end()
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, func(b *bench) {
			served := testIngress("served", func(i *model.Ingress) { i.Status = []model.IngressAddress{{Hostname: "lb.example.com"}} })
			limited := testIngress("limited", withUID("7"))
			b.cluster.snap.Ingresses = b.cluster.snap.Ingresses.With(served.Ref, served).With(limited.Ref, limited)
		})
		expect := func(about string, want ...string) {
			t.Helper()
			time.Sleep(time.Second)
			if diff := cmp.Diff(want, b.events.take()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", about, diff)
			}
		}
		expect("at the start, of what is new",
			"Normal Ingress shop/limited 7 InForce: serves 2 paths of 1 host", "Warning Ingress shop/limited 7 EngineCannot: not here")
		b.cluster.put(testIngress("bad", withBad("no such thing")))
		expect("refused", "Warning Ingress shop/bad 1 Refused: no such thing")
		b.cluster.put(testIngress("bad", withBad("no such thing"), withUID("2")))
		expect("still refused")
		b.cluster.put(testIngress("bad"))
		expect("mended", "Normal Ingress shop/bad 1 InForce: serves 2 paths of 1 host")
		b.cluster.put(testIngress("default", func(i *model.Ingress) { i.Rules, i.Default = nil, &model.IngressBackend{Service: "web"} }))
		expect("a default backend", "Normal Ingress shop/default 1 InForce: serves a default backend")
		b.entry.reports.lead(false)
		b.cluster.put(testIngress("bad", withBad("again")))
		expect("while another one leads")
		b.entry.reports.lead(true)
		expect("as the new leader",
			"Normal Ingress shop/default 1 InForce: serves a default backend",
			"Normal Ingress shop/limited 7 InForce: serves 2 paths of 1 host",
			"Warning Ingress shop/bad 1 Refused: again",
			"Warning Ingress shop/limited 7 EngineCannot: not here")
		b.end()
	})
}
