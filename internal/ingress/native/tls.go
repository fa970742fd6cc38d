package native

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// noTime is no deadline.
var noTime = time.Time{}

// certificate is one that is shown.
type certificate = *tls.Certificate

// serverTLS returns how clients are spoken to. Hosts and certificates are those of the table that is in force at a handshake, so that
// it stays the same, with the keys of its tickets, as long as the settings do.
func (e *Engine) serverTLS(g *settings.Global) *tls.Config {
	s := &g.TLS
	protocols := []string{"http/1.1"}
	if g.Client.HTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	base := &tls.Config{
		MinVersion: max(s.MinVersion, tls.VersionTLS12), MaxVersion: s.MaxVersion, CipherSuites: s.Ciphers,
		NextProtos: protocols, SessionTicketsDisabled: !s.Tickets, DynamicRecordSizingDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return e.certificate(h.ServerName) },
	}
	base.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		host := e.current.Load().table.Host(nameOf(h.ServerName))
		if host.ClientTLS == nil && host.Ciphers == nil {
			return nil, nil
		}
		return hostTLS(base, host), nil
	}
	return base
}

// hostTLS returns how clients of one host are spoken to. Certificates of clients are judged after the handshake: a bad one is
// answered by HTTP.
func hostTLS(base *tls.Config, h *route.Host) *tls.Config {
	c := base.Clone()
	c.GetConfigForClient = nil
	if h.Ciphers != nil {
		c.CipherSuites = h.Ciphers
	}
	if h.ClientTLS != nil && h.ClientTLS.Verify != settings.VerifyOff {
		c.ClientAuth = tls.RequestClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(h.ClientTLS.CA)
	}
	return c
}

// certificate returns the one for a name.
func (e *Engine) certificate(name string) (*tls.Certificate, error) {
	t := e.current.Load().table
	host := t.Host(nameOf(name))
	switch {
	case host.Certificate != nil:
		return host.Certificate.TLS, nil
	case t.Global.TLS.RejectHandshake && host == t.Default:
		return nil, errUnknownName
	case t.Certificate != nil:
		return t.Certificate.TLS, nil
	}
	return e.fallback, nil
}

// nameOf returns a server name as tables have it.
func nameOf(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// settled returns what requests are told of a handshake.
func (e *Engine) settled(s *tls.ConnectionState) *message.TLS {
	t := &message.TLS{ServerName: nameOf(s.ServerName), Version: s.Version}
	if len(s.PeerCertificates) > 0 {
		t.Certificate = s.PeerCertificates[0].Raw
		t.Verified = verify(e.current.Load().table.Host(t.ServerName).ClientTLS, s.PeerCertificates)
	}
	return t
}
