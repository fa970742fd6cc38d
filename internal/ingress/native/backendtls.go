package native

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// tlsSessions is how many sessions with endpoints are kept for each location.
const tlsSessions = 64

var (
	errNoRoots = errors.New("endpoints are to be verified, but the Secret of proxy-ssl-secret has no ca.crt")
	errNoHTTP2 = errors.New("the endpoint does not speak HTTP/2 over TLS")
)

// backendTLS is how endpoints of a location are spoken to by TLS.
type backendTLS struct {
	config *tls.Config
	once   sync.Once
	http2  *backendTLS // the same for HTTP/2, made once
}

// secured returns how the backend's endpoints are spoken to by TLS; nil: without.
func (e *exchange) secured(b *route.Backend) (*backendTLS, error) {
	switch b.Upstream.Protocol {
	case settings.HTTPS, settings.GRPCS:
	case settings.AutoHTTP:
		if e.request.TLS == nil {
			return nil, nil
		}
	default:
		return nil, nil
	}
	p := e.place
	if p.tls == nil {
		p.tls = map[route.Key]*backendTLS{}
	}
	if s := p.tls[b.Key]; s != nil {
		return s, nil
	}
	config, err := clientTLS(b, e.x.Location)
	if err != nil {
		return nil, fmt.Errorf("speak TLS to %s: %w", b.Key, err)
	}
	p.tls[b.Key] = &backendTLS{config: config}
	return p.tls[b.Key], nil
}

// clientTLS returns how a location's endpoints are spoken to. Without proxy-ssl-verify they are not verified, as with nginx.
func clientTLS(b *route.Backend, l *route.Location) (*tls.Config, error) {
	s := &l.Settings.BackendTLS
	name := s.Name
	if name == "" {
		name = b.Key.Service.Name + "." + b.Key.Service.Namespace + ".svc"
	}
	c := &tls.Config{
		InsecureSkipVerify: true, // verifier does it: whose name that is, and whether it is sent, are two questions
		MinVersion:         max(s.MinVersion, tls.VersionTLS12), MaxVersion: s.MaxVersion, CipherSuites: s.Ciphers,
		NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
		DynamicRecordSizingDisabled: true,
	}
	if s.ServerName {
		c.ServerName = name
	}
	if id := l.BackendCA; id != nil && len(id.Certificate) > 0 {
		pair, err := tls.X509KeyPair(id.Certificate, id.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of proxy-ssl-secret: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.Verify {
		roots := x509.NewCertPool()
		if l.BackendCA == nil || !roots.AppendCertsFromPEM(l.BackendCA.CA) {
			return nil, errNoRoots
		}
		c.VerifyConnection = verifier(roots, name, max(s.Depth, 1))
	}
	return c, nil
}

// verifier returns what judges the certificates of endpoints.
func verifier(roots *x509.CertPool, name string, depth int) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		paths, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
		if err != nil {
			return err
		}
		for _, path := range paths {
			if len(path)-1 <= depth {
				return nil
			}
		}
		return errDepth
	}
}

// forHTTP2 returns the settings with which HTTP/2 is agreed on.
func (b *backendTLS) forHTTP2() *backendTLS {
	b.once.Do(func() {
		config := b.config.Clone()
		config.NextProtos = []string{"h2"}
		config.ClientSessionCache = tls.NewLRUClientSessionCache(tlsSessions)
		config.VerifyConnection = func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != "h2" {
				return errNoHTTP2
			}
			if b.config.VerifyConnection == nil {
				return nil
			}
			return b.config.VerifyConnection(s)
		}
		b.http2 = &backendTLS{config: config}
	})
	return b.http2
}

// handshake makes a connection one of TLS.
func (b *backendTLS) handshake(e *exchange, raw *loop.Conn, limit time.Duration) (net.Conn, error) {
	raw.Queue()
	if limit > 0 {
		_ = raw.SetDeadline(e.w.loop.Now().Add(limit))
	}
	c := tls.Client(raw, b.config)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if err := raw.Flush(); err != nil {
		return nil, err
	}
	return c, raw.SetDeadline(noTime)
}
