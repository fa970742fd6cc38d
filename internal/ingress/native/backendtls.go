package native

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// backendTLS is how endpoints of a location are spoken to by TLS.
type backendTLS struct {
	config *tls.Config
	once   sync.Once
	http2  *backendTLS // the same for HTTP/2, made once
}

// secured returns how the backend's endpoints are spoken to by TLS; nil: without.
func (e *exchange) secured(*route.Backend) (*backendTLS, error) { return nil, nil }

// handshake makes a connection one of TLS.
func (b *backendTLS) handshake(e *exchange, raw *loop.Conn, limit time.Duration) (net.Conn, error) {
	raw.Queue()
	_ = raw.SetDeadline(e.w.loop.Now().Add(limit))
	c := tls.Client(raw, b.config)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	if err := raw.Flush(); err != nil {
		return nil, err
	}
	return c, raw.SetDeadline(noTime)
}
