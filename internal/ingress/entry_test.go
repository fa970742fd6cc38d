package ingress

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// inForce checks what is served.
func (b *bench) inForce(about, want string) {
	b.t.Helper()
	synctest.Wait()
	if got, _ := b.engine.last(); got != want {
		b.t.Errorf("%s: in force is %q, want %q", about, got, want)
	}
}

func (b *bench) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Error(err)
	}
}

func TestNothingIsServedBeforeAllIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := model.Ref{Namespace: "ingress", Name: "settings"}
		b := start(t, Config{ConfigMap: settings}, func(b *bench) {
			b.cluster.snap.Ingresses = b.cluster.snap.Ingresses.
				With(model.Ref{Namespace: "shop", Name: "a"}, testIngress("a", withTLS("cert"))).
				With(model.Ref{Namespace: "shop", Name: "b"}, testIngress("b"))
		})
		if err := b.entry.Ready(); !errors.Is(err, ErrNoTable) {
			t.Errorf("Ready() = %v before anything was read", err)
		}
		if diff := cmp.Diff([]string{"configmaps ingress/settings", "secrets shop/cert"}, b.cluster.wants()); diff != "" {
			t.Errorf("wanted (-want +got):\n%s", diff)
		}
		b.cluster.secret("cert", "")
		b.inForce("a ConfigMap is missing", "")
		b.cluster.change(model.Changes{ConfigMaps: only(settings)}, func(s *model.Snapshot) {
			s.ConfigMaps = s.ConfigMaps.With(settings, &model.ConfigMap{Ref: settings, Problem: "does not exist"})
		})
		b.inForce("all is read", "[a@1 b@1]")
		if err := b.entry.Ready(); err != nil || !b.engine.runs() {
			t.Errorf("Ready() = %v, the engine runs: %t", err, b.engine.runs())
		}
		if _, n := b.engine.last(); n != 1 || !b.routes.updates[0].All {
			t.Errorf("%d tables, the first for %+v", n, b.routes.updates[0])
		}
		b.end()
	})
}

// TestUnreadableSecretDoesNotHoldUpTheOthers has an API server that never answers for one Secret.
func TestUnreadableSecretDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, func(b *bench) {
			b.cluster.snap.Ingresses = b.cluster.snap.Ingresses.
				With(model.Ref{Namespace: "shop", Name: "a"}, testIngress("a", withTLS("cert"))).
				With(model.Ref{Namespace: "shop", Name: "b"}, testIngress("b"))
		})
		time.Sleep(patience + time.Second)
		b.inForce("patience is over", "[b@1]")
		if err := b.entry.Ready(); err != nil {
			t.Errorf("Ready() = %v", err)
		}
		b.cluster.secret("cert", "")
		b.inForce("read at last", "[a@1 b@1]")
		b.end()
	})
}

func TestChangesWaitForTheirSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, nil)
		b.cluster.put(testIngress("a"))
		b.inForce("added", "[a@1]")
		b.cluster.put(testIngress("a", withTLS("cert"), withUID("2")))
		b.cluster.put(testIngress("b"))
		b.inForce("the old state stays meanwhile", "[a@1 b@1]")
		b.cluster.secret("cert", "does not exist") // which is an answer too
		b.inForce("the Secret was read", "[a@2 b@1]")
		b.cluster.put(testIngress("a", withTLS("other"), withUID("3")))
		if diff := cmp.Diff([]string{"secrets shop/cert", "secrets shop/other"}, b.cluster.wants()); diff != "" {
			t.Errorf("wanted while it waits (-want +got):\n%s", diff)
		}
		b.cluster.put(testIngress("a", withTLS("cert"), withUID("4")))
		b.inForce("another state, which needs nothing new", "[a@4 b@1]")
		if diff := cmp.Diff([]string{"secrets shop/cert"}, b.cluster.wants()); diff != "" {
			t.Errorf("wanted (-want +got):\n%s", diff)
		}
		b.cluster.remove(model.Ref{Namespace: "shop", Name: "a"})
		b.inForce("removed", "[b@1]")
		if wants := b.cluster.wants(); len(wants) != 0 {
			t.Errorf("Secrets that nobody refers to are read: %q", wants)
		}
		b.end()
	})
}

// TestSettingsNameMore has a ConfigMap of the entry that names another one, and an Ingress that does.
func TestSettingsNameMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := model.Ref{Namespace: "ingress", Name: "settings"}
		configMap := func(b *bench, ref model.Ref, data map[string]string) {
			b.cluster.change(model.Changes{ConfigMaps: only(ref)}, func(s *model.Snapshot) {
				s.ConfigMaps = s.ConfigMaps.With(ref, &model.ConfigMap{Ref: ref, Data: data})
			})
		}
		b := start(t, Config{ConfigMap: settings}, nil)
		configMap(b, settings, map[string]string{"add-headers": "ingress/headers"})
		b.inForce("what the settings name is missing", "")
		configMap(b, model.Ref{Namespace: "ingress", Name: "headers"}, nil)
		b.inForce("all is read", "[]")
		b.cluster.put(testIngress("a", func(i *model.Ingress) { i.Annotations = model.Annotations{{Name: "custom-headers", Value: "mine"}} }))
		b.inForce("what the Ingress names is missing", "[]")
		configMap(b, model.Ref{Namespace: "shop", Name: "mine"}, nil)
		b.inForce("it was read", "[a@1]")
		configMap(b, settings, nil)
		if diff := cmp.Diff([]string{"configmaps ingress/settings", "configmaps shop/mine"}, b.cluster.wants()); diff != "" {
			t.Errorf("wanted (-want +got):\n%s", diff)
		}
		b.end()
	})
}

func TestChangesAreMadeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Pace: time.Second}, nil)
		_, before := b.engine.last()
		for range 100 {
			b.cluster.put(testIngress("a", withUID(time.Now().String())))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if _, n := b.engine.last(); n-before > 4 {
			t.Errorf("%d tables for changes of one second at a pace of one second", n-before)
		}
		b.end()
	})
}

func TestWhatConcernsNobodyIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, nil)
		_, before := b.engine.last()
		b.cluster.put(testIngress("another's", func(i *model.Ingress) { i.Class = "other" }))
		b.cluster.put(testIngress("another's", func(i *model.Ingress) { i.Class = "other"; i.TLS = []model.IngressTLS{{Secret: "cert"}} }))
		if _, n := b.engine.last(); n != before || len(b.cluster.wants()) != 0 {
			t.Errorf("%d tables for Ingresses of others; wanted for them: %q", n-before, b.cluster.wants())
		}
		b.end()
	})
}

func TestRefusedTableIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{}, nil)
		b.cluster.put(testIngress("a"))
		b.engine.set(func() { b.engine.refuse = errors.New("nginx: [emerg] no") })
		b.cluster.put(testIngress("b"))
		b.inForce("refused", "[a@1]")
		if err := b.entry.Ready(); err != nil {
			t.Errorf("Ready() = %v although the table before is in force", err)
		}
		time.Sleep(time.Second)
		b.events.take()
		b.engine.set(func() { b.engine.refuse = nil })
		time.Sleep(retryRefused + time.Second)
		b.inForce("tried again", "[a@1 b@1]")
		time.Sleep(time.Second)
		want := []string{"Normal Ingress shop/b 1 InForce: serves 2 paths of 1 host"}
		if diff := cmp.Diff(want, b.events.take()); diff != "" {
			t.Errorf("Events (-want +got):\n%s", diff)
		}
		b.end()
	})
}

func TestEndingIsGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Grace: 10 * time.Second}, nil)
		b.stop()
		time.Sleep(time.Second)
		if err := b.entry.Ready(); !errors.Is(err, ErrEnding) || !b.engine.runs() {
			t.Errorf("Ready() = %v, the engine runs: %t; want ErrEnding and true", err, b.engine.runs())
		}
		b.cluster.put(testIngress("a"))
		b.inForce("changes during the grace", "[a@1]")
		time.Sleep(10 * time.Second)
		if b.engine.runs() {
			t.Error("the engine runs after the grace")
		}
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		if b.status.ours != 1 || !b.status.closed {
			t.Errorf("statuses: of %d Ingresses, closed: %t; want 1 and true", b.status.ours, b.status.closed)
		}
	})
}
