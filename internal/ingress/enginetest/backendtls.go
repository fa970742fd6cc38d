package enginetest

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// secureServer starts a server with TLS that answers with the name and the certificate that it was shown.
func secureServer(t testing.TB, ca *authority, name string, ask tls.ClientAuthType) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			shown = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = fmt.Fprintf(w, "%s asks for %s, %s", shown, cmp.Or(r.TLS.ServerName, "nothing"), strings.Repeat("x", 100<<10))
	}))
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	s.TLS = &tls.Config{Certificates: ca.client(t, name), ClientAuth: ask, ClientCAs: clients}
	s.StartTLS()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// BackendTLS has endpoints that are spoken to by TLS.
func BackendTLS(t *testing.T, start Start) {
	ca, stranger := newAuthority(t), newAuthority(t)
	cert, key := ca.pair(t, "entry")
	secrets := secret("ours", "tls.crt", cert, "tls.key", key, "ca.crt", ca.pem) +
		secret("theirs", "ca.crt", stranger.pem, "tls.crt", cert, "tls.key", key)
	plain := secureServer(t, ca, "inner.example", tls.NoClientCert)
	asking := secureServer(t, ca, "inner.example", tls.RequireAndVerifyClientCert)
	const https = "backend-protocol: HTTPS\n"
	const verify = https + "proxy-ssl-verify: on\nproxy-ssl-secret: default/"
	one := func(name string, addr netip.AddrPort, annotations string, want Want) Case {
		return Case{
			Name: name, Servers: map[string]netip.AddrPort{"secure": addr},
			Manifest: secrets + site{service: "secure", annotations: annotations}.String(),
			// The second one goes over a connection that is kept.
			Steps: []Step{{Name: "first", Want: want}, {Name: "second", Want: want}},
		}
	}
	served := func(text string) Want { return Want{Status: 200, Backend: "?", Body: text} }
	refused := Want{Status: 502}
	Run(t, start, []Case{
		one("not verified", plain, https, served("nobody asks for nothing")),
		one("without TLS", plain, "", Want{Status: 400, Backend: "?"}),
		one("verified", plain, verify+"ours\nproxy-ssl-name: inner.example", served("asks for nothing")),
		one("verified, with the name", plain, verify+"ours\nproxy-ssl-name: inner.example\nproxy-ssl-server-name: on", served("asks for inner.example")),
		one("another name", plain, verify+"ours\nproxy-ssl-name: other.example", refused),
		one("the Service's name", plain, verify+"ours", refused),
		one("another authority", plain, verify+"theirs\nproxy-ssl-name: inner.example", refused),
		one("our certificate is asked for", asking, https+"proxy-ssl-secret: default/ours", served("entry asks for nothing")),
		one("our certificate is missing", asking, https, refused),
	})
}
