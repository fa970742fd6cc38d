package route

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// FuzzIsolation: whatever an Ingress says, hosts that are not its own are served as if it were not there, in the order of any update.
func FuzzIsolation(f *testing.F) {
	f.Add("server-alias", "good.example.com,~.*", "evil.example.com", "/", uint8(1), uint8(0))
	f.Add("from-to-www-redirect", "true", "www.good.example.com", "/a", uint8(2), uint8(1))
	f.Add("rewrite-target", "/$1", "*.example.com", "/(.*)", uint8(0), uint8(2))
	f.Add("canary", "true", "evil.example.com", "/", uint8(0), uint8(3))
	f.Add("ssl-passthrough", "true", "", "/", uint8(0), uint8(4))
	for s := range settings.Specs() {
		f.Add(s.Name, "on", "evil.example.com", "/x", uint8(0), uint8(5))
	}
	f.Fuzz(func(t *testing.T, annotation, value, host, path string, pathType, age uint8) {
		if host = strings.ToLower(host); host == "good.example.com" {
			return
		}
		backend := model.IngressBackend{Service: "service-0", PortName: "http"}
		evil := &model.Ingress{
			Ref: ref("evil"), Created: time.Unix(int64(age), 0),
			Annotations: model.Annotations{{Name: annotation, Value: value}},
			Rules:       []model.IngressRule{{Host: host, Paths: []model.IngressPath{{Path: path, Type: model.PathType(pathType % 3), Backend: backend}}}},
		}
		snap := cluster(1)
		good := &model.Ingress{
			Ref: ref("good"), Created: time.Unix(2, 0),
			Rules: []model.IngressRule{{Host: "good.example.com", Paths: []model.IngressPath{
				{Path: "/", Type: model.PathPrefix, Backend: backend}, {Path: "/a/", Type: model.PathPrefix, Backend: backend},
			}}},
		}
		snap.Ingresses = snap.Ingresses.With(good.Ref, good)
		b := New(Config{})
		before, _ := b.Update(snap, model.Changes{All: true})
		next := *snap
		next.Ingresses = next.Ingresses.With(evil.Ref, evil)
		after, problems := b.Update(&next, model.Changes{Ingresses: map[model.Ref]struct{}{evil.Ref: {}}})
		if before.Host("good.example.com") != after.Host("good.example.com") {
			t.Fatalf("another host's value has changed:\n%s", after.Dump())
		}
		whole, _ := Build(&next, Config{})
		var want, got strings.Builder
		before.DumpHost(&want, before.Host("good.example.com"))
		whole.DumpHost(&got, whole.Host("good.example.com"))
		if want.String() != got.String() || before.Pool(before.Host("good.example.com").Match("/").Backend) != after.Pool(after.Host("good.example.com").Match("/").Backend) {
			t.Fatalf("another host is served in another way:\n%s\nbefore:\n%s", got.String(), want.String())
		}
		for _, p := range problems {
			if p.Ref == good.Ref {
				t.Fatalf("another Ingress has a problem by it: %+v", p)
			}
		}
	})
}
