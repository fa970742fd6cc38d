package stream

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/proxyproto"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// connectTimeout bounds the way to a connection to an endpoint.
const connectTimeout = 5 * time.Second

// Carrier carries connections of one loop to endpoints.
type Carrier struct {
	Balancer *balance.Balancer
	Buffers  Buffers
}

// Session is a connection of a client and where it goes.
type Session struct {
	Conn     *loop.Conn
	Backend  *route.Backend
	Pool     *route.Pool
	Settings *settings.Stream
	// Client and Local are its two ends, as far as PROXY protocol is believed. ProxyOut tells them to the endpoint.
	Client, Local netip.AddrPort
	ProxyOut      bool
}

// Result is what has become of a session.
type Result struct {
	Endpoint netip.AddrPort // the zero AddrPort: there was none
	// Up and Down are the bytes to the endpoint and from it.
	Up, Down int64
	// Err is why the session was cut; nil: both sides have ended it.
	Err error
}

// ErrNoEndpoint is the error of a session whose backend has no endpoint that could be connected to.
var ErrNoEndpoint = errors.New("no endpoint")

// Carry carries a session to its end.
func (c *Carrier) Carry(t *loop.Task, s *Session) (result Result) {
	begun := t.Loop().Now()
	group := c.Balancer.Group(s.Backend, s.Pool, begun, t.Await)
	server, endpoint, err := c.connect(t, s, group)
	if err != nil {
		s.Conn.Reset()
		return Result{Err: err}
	}
	defer server.Close()
	outcome := balance.OK
	took := t.Loop().Now().Sub(begun)
	defer func() { group.End(endpoint, outcome, took, t.Loop().Now()) }()
	result.Endpoint = endpoint.Addr
	if s.ProxyOut {
		header := proxyproto.Append(nil, proxyproto.Header{Source: s.Client, Destination: s.Local})
		server.SetWriteTimeout(connectTimeout)
		if _, result.Err = server.Write(header); result.Err != nil {
			outcome = balance.Failed
			s.Conn.Reset()
			return result
		}
	}
	result.Up, result.Down, result.Err = carry(t, s.Conn, server, s.Settings.Timeout, &c.Buffers)
	return result
}

// connect connects to an endpoint, or to another one where that fails. Begin was called for it.
func (c *Carrier) connect(t *loop.Task, s *Session, group *balance.Group) (*loop.Conn, *balance.Endpoint, error) {
	var request balance.Request
	var failures []error
	begun := t.Loop().Now()
	for {
		now := t.Loop().Now()
		if len(failures) > 0 && !another(s.Settings, len(failures), now.Sub(begun)) {
			break
		}
		e := group.Pick(&request, now)
		if e == nil {
			break
		}
		e.Begin()
		server, err := t.Dial(e.Addr, connectTimeout)
		if err == nil {
			return server, e, nil
		}
		outcome := balance.Failed
		if errors.Is(err, os.ErrDeadlineExceeded) {
			outcome = balance.TimedOut
		}
		now = t.Loop().Now()
		group.End(e, outcome, now.Sub(begun), now)
		failures = append(failures, err)
	}
	return nil, nil, fmt.Errorf("%w of %s: %w", ErrNoEndpoint, s.Backend.Key, errors.Join(failures...))
}

// another says whether one more endpoint is tried after some have failed.
func another(s *settings.Stream, failed int, took time.Duration) bool {
	return s.Next && (s.NextTries == 0 || failed < s.NextTries) && (s.NextTimeout == 0 || took < s.NextTimeout)
}
