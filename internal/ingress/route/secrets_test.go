package route

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

// certificateOf returns a Secret with a self-signed certificate for some names; the first one is the common name alone if cn is set.
func certificateOf(t *testing.T, name string, until time.Time, cn string, hosts ...string) *model.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, DNSNames: hosts, NotBefore: time.Unix(0, 0), NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &model.Secret{Ref: ref(name), Data: map[string][]byte{
		"tls.crt": cert, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "ca.crt": cert,
	}}
}

// TestCertificates has which certificate a host shows, "default" for that of the entry and "none" for a host without TLS, and what is
// said about it.
func TestCertificates(t *testing.T) {
	later, before := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var snap model.Snapshot
	for _, s := range []*model.Secret{
		certificateOf(t, "a", later, "", "a.example.com"), certificateOf(t, "wild", later, "", "*.example.com"),
		certificateOf(t, "old", before, "", "a.example.com"), certificateOf(t, "cn", later, "a.example.com"),
		certificateOf(t, "default", later, "", "entry.example.com"),
		{Ref: ref("empty"), Data: map[string][]byte{"tls.crt": []byte("x")}},
		{Ref: ref("gone"), Problem: "does not exist"},
		{Ref: ref("broken"), Data: map[string][]byte{"tls.crt": []byte("x"), "tls.key": []byte("y")}},
	} {
		snap.Secrets = snap.Secrets.With(s.Ref, s)
	}
	config := Config{DefaultCertificate: ref("default"), Now: func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }}
	for name, c := range map[string]struct {
		host    string
		tls     []model.IngressTLS
		want    string
		problem string
	}{
		"no tls":                        {"a.example.com", nil, "none", ""},
		"by host":                       {"a.example.com", []model.IngressTLS{{Hosts: []string{"x.example.com"}, Secret: "wild"}, {Hosts: []string{"A.example.com"}, Secret: "a"}}, "a", ""},
		"by name in the certificate":    {"a.example.com", []model.IngressTLS{{Hosts: []string{"x.example.com"}, Secret: "wild"}}, "wild", ""},
		"no secret named":               {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}}}, "default", ""},
		"of another host":               {"a.example.com", []model.IngressTLS{{Hosts: []string{"x.example.com"}}}, "default", ""},
		"not for the host":              {"b.a.example.com", []model.IngressTLS{{Hosts: []string{"b.a.example.com"}, Secret: "wild"}}, "default", "is not for host b.a.example.com"},
		"wildcard host":                 {"*.example.com", []model.IngressTLS{{Hosts: []string{"*.example.com"}, Secret: "wild"}}, "wild", ""},
		"wildcard host, one name alone": {"*.example.com", []model.IngressTLS{{Hosts: []string{"*.example.com"}, Secret: "a"}}, "default", "is not for host"},
		"by common name":                {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: "cn"}}, "cn", ""},
		"expired":                       {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: "old"}}, "old", "has expired on 2026-01-01"},
		"without key":                   {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: "empty"}}, "default", "has no key tls.key"},
		"does not exist":                {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: "gone"}}, "default", "does not exist"},
		"not a certificate":             {"a.example.com", []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: "broken"}}, "default", "Secret default/broken"},
	} {
		s := snap
		ing := &model.Ingress{Ref: ref("i"), TLS: c.tls, Rules: []model.IngressRule{{Host: c.host}}}
		s.Ingresses = s.Ingresses.With(ing.Ref, ing)
		table, problems := Build(&s, config)
		h := table.Host(strings.Replace(c.host, "*", "x", 1))
		got := "none"
		switch {
		case h.Certificate != nil:
			got = h.Certificate.Secret.Name
		case h.HasTLS:
			got = table.Certificate.Secret.Name
		}
		if got != c.want {
			t.Errorf("%s: shows %s, want %s", name, got, c.want)
		}
		if len(problems) > 1 || len(problems) == 1 != (c.problem != "") || len(problems) == 1 && !strings.Contains(problems[0].Message, c.problem) {
			t.Errorf("%s: problems %v, want %q", name, problems, c.problem)
		}
	}
	if _, problems := Build(&snap, Config{DefaultCertificate: ref("gone")}); len(problems) != 1 || problems[0].Kind != "Secret" {
		t.Errorf("a default certificate that does not exist: %v", problems)
	}
}

// TestCertificateOfTheOldest: a tls section of a younger Ingress does not change what the host shows.
func TestCertificateOfTheOldest(t *testing.T) {
	later := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	var snap model.Snapshot
	for i, name := range []string{"second", "first", "third"} {
		secret := certificateOf(t, name, later, "", "a.example.com")
		snap.Secrets = snap.Secrets.With(secret.Ref, secret)
		ing := &model.Ingress{
			Ref: ref(name), Created: time.Unix([]int64{20, 10, 30}[i], 0), TLS: []model.IngressTLS{{Hosts: []string{"a.example.com"}, Secret: name}},
			Rules: []model.IngressRule{{Host: "a.example.com"}},
		}
		if name == "first" {
			ing.TLS = nil
		}
		snap.Ingresses = snap.Ingresses.With(ing.Ref, ing)
	}
	table, _ := Build(&snap, Config{})
	if got := table.Host("a.example.com").Certificate.Secret.Name; got != "second" {
		t.Errorf("the host shows the certificate of %s, want that of the oldest Ingress with a tls section", got)
	}
}

func TestSecretsOfAuthentication(t *testing.T) {
	ca := certificateOf(t, "ca", time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), "", "a.example.com")
	secrets := []*model.Secret{
		ca,
		{Ref: ref("file"), Data: map[string][]byte{"auth": []byte("# users\nu:{SHA}x\n\nu:second\nv:$apr1$y:z\n:nobody\n")}},
		{Ref: ref("map"), Data: map[string][]byte{"u": []byte(" {SHA}x\n")}},
		{Ref: ref("bad-crl"), Data: map[string][]byte{"ca.crt": ca.Data["ca.crt"], "ca.crl": []byte("x")}},
		{Ref: ref("key-alone"), Data: map[string][]byte{"tls.key": ca.Data["tls.key"]}},
	}
	var snap model.Snapshot
	for _, s := range secrets {
		snap.Secrets = snap.Secrets.With(s.Ref, s)
	}
	build := func(annotations ...model.Annotation) (*Location, *Host) {
		ing := &model.Ingress{Ref: ref("i"), Annotations: annotations, Rules: []model.IngressRule{{Host: "a.example.com"}}}
		s := snap
		s.Ingresses = s.Ingresses.With(ing.Ref, ing)
		table, _ := Build(&s, Config{})
		return table.Host("a.example.com").Match("/"), table.Host("a.example.com")
	}
	basic := model.Annotation{Name: "auth-type", Value: "basic"}
	l, _ := build(model.Annotation{Name: "auth-secret", Value: "file"}, basic)
	if diff := cmp.Diff(&Users{"u": "{SHA}x", "v": "$apr1$y:z"}, l.Users); diff != "" || l.Denied != "" {
		t.Errorf("users of a file, denied %q (-want +got):\n%s", l.Denied, diff)
	}
	l, _ = build(model.Annotation{Name: "auth-secret", Value: "map"}, model.Annotation{Name: "auth-secret-type", Value: "auth-map"}, basic)
	if diff := cmp.Diff(&Users{"u": "{SHA}x"}, l.Users); diff != "" {
		t.Errorf("users of a map (-want +got):\n%s", diff)
	}
	for _, a := range []model.Annotation{
		{Name: "auth-secret", Value: "map"},
		{Name: "auth-tls-secret", Value: "default/file"},
		{Name: "auth-tls-secret", Value: "default/bad-crl"},
		{Name: "proxy-ssl-secret", Value: "default/file"},
		{Name: "proxy-ssl-secret", Value: "default/key-alone"},
	} {
		annotations := []model.Annotation{a}
		if a.Name == "auth-secret" {
			annotations = append(annotations, basic)
		}
		if l, _ := build(annotations...); l.Denied == "" {
			t.Errorf("%s=%s: the location is not denied", a.Name, a.Value)
		}
	}
	l, h := build(model.Annotation{Name: "auth-tls-secret", Value: "default/ca"}, model.Annotation{Name: "proxy-ssl-secret", Value: "default/ca"})
	if l.Denied != "" || h.ClientTLS == nil || len(h.ClientTLS.CA) == 0 || l.BackendCA == nil || len(l.BackendCA.Certificate) == 0 {
		t.Errorf("a good Secret: denied %q, client certificates %v, identity %v", l.Denied, h.ClientTLS, l.BackendCA)
	}
}

// BenchmarkSharedHost is what the change of one Ingress costs on a host that 10,000 of them have paths of.
func BenchmarkSharedHost(b *testing.B) {
	snap := cluster(10000)
	for r, ing := range snap.Ingresses.All() {
		shared := *ing
		shared.Rules = []model.IngressRule{{Host: "shared.example.com", Paths: []model.IngressPath{{Path: "/" + r.Name, Type: model.PathPrefix, Backend: ing.Rules[0].Paths[0].Backend}}}}
		snap.Ingresses = snap.Ingresses.With(r, &shared)
	}
	builder := New(Config{})
	builder.Update(snap, model.Changes{All: true})
	r := ref("ingress-5000")
	ing, _ := snap.Ingresses.Get(r)
	for b.Loop() {
		changed := *ing
		next := *snap
		next.Ingresses = next.Ingresses.With(r, &changed)
		builder.Update(&next, model.Changes{Ingresses: map[model.Ref]struct{}{r: {}}})
	}
}
