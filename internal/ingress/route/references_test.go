package route

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestReferences: what another namespace has is not even read, unless the ConfigMap of the entry admits it.
func TestReferences(t *testing.T) {
	other := func(name string) model.Ref { return model.Ref{Namespace: "other", Name: name} }
	ing := &model.Ingress{
		Ref: ref("i"), TLS: []model.IngressTLS{{Secret: "tls"}, {Secret: "tls"}, {}},
		Annotations: model.Annotations{
			{Name: "auth-proxy-set-headers", Value: "headers"},
			{Name: "auth-secret", Value: "other/users"},
			{Name: "auth-tls-secret", Value: "default/ca"},
			{Name: "auth-type", Value: "basic"},
			{Name: "custom-headers", Value: "other/headers"},
			{Name: "proxy-ssl-secret", Value: "default/tls"},
		},
	}
	b := New(Config{ConfigMap: ref("config")})
	got := [][]model.Ref{b.References(ing), b.ConfigMaps(ing)}
	want := [][]model.Ref{{ref("tls"), ref("ca")}, {ref("headers")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secrets and ConfigMaps (-want +got):\n%s", diff)
	}
	var snap model.Snapshot
	snap.ConfigMaps = snap.ConfigMaps.With(ref("config"), &model.ConfigMap{Ref: ref("config"), Data: map[string]string{"allow-cross-namespace-resources": "true"}})
	b.Update(&snap, model.Changes{All: true})
	got = [][]model.Ref{b.References(ing), b.ConfigMaps(ing)}
	want = [][]model.Ref{{ref("tls"), other("users"), ref("ca")}, {other("headers"), ref("headers")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secrets and ConfigMaps across namespaces (-want +got):\n%s", diff)
	}
}
