package enginetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// site is an Ingress of one host and one path.
type site struct {
	name, host, path string // "": web, example.com, /
	pathType         string // "": Prefix
	service          string // "": web
	tls              string // Secret with the certificate; "": none
	// annotations are lines of "name: value", without the prefix of the names.
	annotations string
}

func (s site) String() string {
	or := func(text, fallback string) string {
		if text == "" {
			return fallback
		}
		return text
	}
	host := or(s.host, "example.com")
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  namespace: default\n  annotations:\n    x: y\n", or(s.name, "web"))
	for line := range strings.SplitSeq(s.annotations, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			fmt.Fprintf(&b, "    nginx.ingress.kubernetes.io/%s: %q\n", name, value)
		}
	}
	b.WriteString("spec:\n")
	if s.tls != "" {
		fmt.Fprintf(&b, "  tls: [{hosts: [%q], secretName: %q}]\n", host, s.tls)
	}
	fmt.Fprintf(&b, "  rules:\n  - host: %q\n    http: {paths: [{path: %q, pathType: %s, backend: {service: {name: %s, port: {number: 80}}}}]}\n",
		host, or(s.path, "/"), or(s.pathType, "Prefix"), or(s.service, "web"))
	return b.String()
}

// secret is a Secret of namespace "default", of pairs of keys and values.
func secret(name string, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: default}\ndata:\n", name)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "  %q: %q\n", pairs[i], base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return b.String()
}

// authority issues certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	var der []byte
	a.key, der = issue(t, nil, "ca")
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.pem = cert, encode("CERTIFICATE", der)
	return a
}

// issue makes a certificate for a name, of an authority; nil: one that is an authority.
func issue(t testing.TB, by *authority, name string) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Tests"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.DNSNames, c.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil, nil
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// pair returns a certificate and its key, in PEM.
func (a *authority) pair(t testing.TB, name string) (cert, key string) {
	t.Helper()
	private, der := issue(t, a, name)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
}

// client returns a certificate for a client.
func (a *authority) client(t testing.TB, name string) []tls.Certificate {
	t.Helper()
	cert, key := a.pair(t, name)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
