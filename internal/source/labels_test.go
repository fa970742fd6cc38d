package source

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestFactsForDNS reads what only DNS asks for: Namespaces, labels, and the slices of headless Services.
func TestFactsForDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		svc := testService("db", "None")
		svc.Labels = map[string]string{"tier": "back", "app": "db"}
		api.put(svc)
		slice := testSlice("db-1", "db", "10.1.0.1")
		slice.Labels[headlessLabel] = ""
		api.put(slice)
		namespace := func(label string) *corev1.Namespace {
			return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{"team": label}}}
		}
		api.put(namespace("a"))
		src, _ := start(t, client, Config{Kinds: append(ProxyKinds(), Namespaces), Labels: true})
		sub := src.Subscribe()
		next := func() (*model.Snapshot, model.Changes) {
			snap, changes, err := sub.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return snap, changes
		}
		snap, _ := next()
		view := snap.View(model.Ref{Namespace: "default", Name: "db"})
		if view.Service == nil || view.Service.Labels != "app\x00db\x00tier\x00back\x00" || !view.Service.Headless || len(view.Slices) != 1 {
			t.Errorf("unexpected Service: %+v", view)
		}
		api.put(namespace("b"))
		snap, changes := next()
		ns, _ := snap.Namespaces.Get("default")
		if diff := cmp.Diff(&model.Namespace{Name: "default", Labels: "team\x00b\x00"}, ns); diff != "" || !changes.Namespaces {
			t.Errorf("changes %+v, Namespace (-want +got):\n%s", changes, diff)
		}
		api.remove(Namespaces, model.Ref{Name: "default"})
		if snap, _ = next(); snap.Namespaces.Len() != 0 {
			t.Error("the Namespace is still there")
		}
	})
}

func TestParseSelector(t *testing.T) {
	labels := model.Labels("app\x00db\x00empty\x00\x00tier\x00back\x00")
	for s, want := range map[string]bool{
		"": true, "app=db": true, "app == db,tier=back": true, "app=web": false, "app in (db, web)": true,
		"app notin (db)": false, "tier": true, "!tier": false, "!other": true, "empty=": true, "empty=x": false,
	} {
		matches, err := ParseSelector(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := matches(labels); got != want {
			t.Errorf("%q selects: %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"app=(", "app>3", "app in db"} {
		if _, err := ParseSelector(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}
