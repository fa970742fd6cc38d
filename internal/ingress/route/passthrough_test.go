package route_test

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

func TestPassthroughHasToBeEnabled(t *testing.T) {
	var snap model.Snapshot
	ref := model.Ref{Namespace: "shop", Name: "web"}
	snap.Ingresses = snap.Ingresses.With(ref, &model.Ingress{
		Ref: ref, Annotations: model.Annotations{{Name: "ssl-passthrough", Value: "true"}},
		Rules: []model.IngressRule{{Host: "shop.example.com", Paths: []model.IngressPath{{
			Path: "/", Type: model.PathPrefix, Backend: model.IngressBackend{Service: "web", Port: 443},
		}}}},
	})
	for _, off := range []bool{false, true} {
		table, problems := route.Build(&snap, route.Config{NoPassthrough: off})
		said := false
		for _, p := range problems {
			said = said || strings.Contains(p.Message, "--enable-ssl-passthrough")
		}
		if passes := table.Host("shop.example.com").Passthrough != nil; passes == off || said != off {
			t.Errorf("NoPassthrough %t: TLS passes %t, there is a problem: %t", off, passes, said)
		}
	}
}
