package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// newCertificate returns a certificate, in DER, of a subject whose organisation needs escaping.
func newCertificate(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: name, Organization: []string{`A, B "C"`}, Country: []string{"SE"}}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(255), Subject: subject, NotAfter: time.Now().Add(time.Hour),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestClientCertificate(t *testing.T) {
	der := newCertificate(t, "alice")
	good := &message.TLS{ServerName: "example.com", Certificate: der}
	unknown := &message.TLS{ServerName: "example.com", Certificate: der, Verified: x509.UnknownAuthorityError{}}
	expired := &message.TLS{ServerName: "example.com", Certificate: der, Verified: errors.New("expired")}
	none := &message.TLS{ServerName: "example.com"}
	other := &message.TLS{ServerName: "other.example", Certificate: der}
	const page = "https://help.example/"
	cases := []struct {
		name   string
		client settings.ClientTLS
		tls    *message.TLS
		want   string
	}{
		{"a good one", settings.ClientTLS{}, good, "GET /"},
		{"none", settings.ClientTLS{}, none, "= 400"},
		{"a bad one", settings.ClientTLS{}, expired, "= 400"},
		{"of an unknown authority", settings.ClientTLS{}, unknown, "= 400"},
		{"a bad one, with an error page", settings.ClientTLS{ErrorPage: page}, expired, "= 302\nLocation: " + page},
		{"none, optional", settings.ClientTLS{Verify: settings.VerifyOptional}, none, "GET /"},
		{"a bad one, optional", settings.ClientTLS{Verify: settings.VerifyOptional}, unknown, "= 400"},
		{"of an unknown authority, optional_no_ca", settings.ClientTLS{Verify: settings.VerifyOptionalNoCA}, unknown, "GET /"},
		{"expired, optional_no_ca", settings.ClientTLS{Verify: settings.VerifyOptionalNoCA}, expired, "= 400"},
		{"none, off", settings.ClientTLS{Verify: settings.VerifyOff}, none, "GET /"},
		{"a connection that was made for another host", settings.ClientTLS{}, other, "= 421"},
		{"a name that matches", settings.ClientTLS{MatchCN: regexp.MustCompile("CN=alice")}, good, "GET /"},
		{
			"a name that does not match",
			settings.ClientTLS{MatchCN: regexp.MustCompile("CN=bob")},
			good,
			lines("= 403", "Content-Type: text/plain", "client certificate unauthorized"),
		},
		{
			"a name to match, over http",
			settings.ClientTLS{MatchCN: regexp.MustCompile("CN=alice")},
			nil,
			lines("= 403", "Content-Type: text/plain", "client certificate unauthorized"),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", "")
			s.host.ClientTLS = &route.ClientTLS{ClientTLS: &c.client}
			got := s.shown(c.tls)
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// shown is the outcome of a request over a connection with the TLS state.
func (s *site) shown(tls *message.TLS) string {
	x := s.request("GET http://example.com/\nSsl-Client-Verify: SUCCESS\nSsl-Client-Cert: forged")
	defer x.End()
	x.Request.TLS = tls
	if s.policy.Admit(x) {
		s.policy.Request(x)
		return lines(s.forwarded(x, s.location.Backend)...)
	}
	return lines(answered(&message.Response{Status: x.Answer.Status, Header: x.Answer.Header}, x.Answer.Body)...)
}

func TestCertificateFields(t *testing.T) {
	der := newCertificate(t, "alice")
	s := newSite(t, "/", "")
	s.host.ClientTLS = &route.ClientTLS{ClientTLS: &settings.ClientTLS{Verify: settings.VerifyOptional}}
	want := lines("GET /", "set ssl-client-issuer-dn: CN=ca", `set ssl-client-subject-dn: CN=alice,O=A\, B \"C\",C=SE`, "set ssl-client-verify: SUCCESS")
	if diff := cmp.Diff(want, s.shown(&message.TLS{ServerName: "example.com", Certificate: der})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = lines("GET /", "set ssl-client-issuer-dn: ", "set ssl-client-subject-dn: ", "set ssl-client-verify: NONE")
	if diff := cmp.Diff(want, s.shown(&message.TLS{ServerName: "example.com"})); diff != "" {
		t.Errorf("what the client says of its certificate passes (-want +got):\n%s", diff)
	}
	s.host.ClientTLS.Pass = true
	s.compiled = false
	got := s.shown(&message.TLS{ServerName: "example.com", Certificate: der})
	if !strings.Contains(got, "set ssl-client-cert: -----BEGIN%20CERTIFICATE-----%0A") || strings.Contains(got, "forged") {
		t.Errorf("the certificate is not passed: %s", got)
	}
}
