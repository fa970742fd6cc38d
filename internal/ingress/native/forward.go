package native

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// verdict is how an attempt ended.
type verdict uint8

const (
	finished verdict = iota // the client has its response, or will not get any
	again                   // another endpoint may be tried
	failed                  // none may
)

// forward sends the request to an endpoint of the backend, and the response to the client.
func (e *exchange) forward(b *route.Backend) {
	if b == nil {
		e.answer(e.unserved())
		return
	}
	if status := e.takeBody(b); status != 0 {
		e.answer(status)
		return
	}
	e.policy.Request(&e.x)
	e.prepare()
	e.record.backend = b
	began, failure := e.w.loop.Elapsed(), 503
	group := e.group(b)
	for tries := 1; ; tries++ {
		endpoint := e.policy.Pick(&e.x, group)
		if endpoint == nil {
			break
		}
		a := attempt{e: e, backend: b, group: group, endpoint: endpoint}
		next := &e.x.Location.Settings.Proxy.Next
		a.last = next.Tries > 0 && tries >= next.Tries || next.Timeout > 0 && e.w.loop.Elapsed()-began >= next.Timeout ||
			tries >= group.Len()
		v := a.run()
		if v == finished {
			return
		}
		failure = a.failure
		if v == failed || a.last {
			break
		}
	}
	e.answer(failure)
}

// unserved returns the status where a location has no backend: it is that of "/" where no rule has asked for it, or is denied.
func (e *exchange) unserved() int {
	if e.x.Location.Denied == "" {
		return 404
	}
	return 503
}

// group returns the endpoints that the backend has now, which may be others than when the request began, such as where its body took
// long to come.
func (e *exchange) group(b *route.Backend) *balance.Group {
	table := e.w.engine.current.Load().table
	if !table.Has(b.ID) {
		table = e.generation.table
	}
	return e.w.engine.balancer.Group(b, table.Pool(b), e.w.loop.Now(), e.task.Await)
}

// prepare fills in what no policy has set of the request to the backend.
func (e *exchange) prepare() {
	if e.x.Method == "" {
		e.x.Method = e.request.Method
	}
	if e.x.Target == nil {
		e.x.Target = e.request.Target
	}
	if e.x.HostField == nil {
		e.x.HostField = e.request.Authority
	}
}

// attempt is one try with one endpoint.
type attempt struct {
	e        *exchange
	backend  *route.Backend
	group    *balance.Group
	endpoint *balance.Endpoint
	last     bool // no other endpoint may be tried
	sent     bool // something of the request may have reached the endpoint
	began    time.Duration
	failure  int // the status if the attempt has failed
}

func (a *attempt) run() verdict {
	switch {
	case speaksGRPC(a.backend):
		return a.grpc()
	case speaksFastCGI(a.backend):
		return a.fastcgi()
	}
	e := a.e
	a.endpoint.Begin()
	a.began = e.w.loop.Elapsed()
	u, err := a.connect(true)
	if err == nil {
		err = a.exchange(u)
		if err != nil && !e.record.broken && u.reused && a.stale(u, err) {
			u.Close()
			if u, err = a.connect(false); err == nil {
				err = a.exchange(u)
			}
		}
	}
	if err != nil {
		return a.failed(u, err)
	}
	e.record.add(a.endpoint, u.Response.Status, e.w.loop.Elapsed()-a.began)
	if a.unwanted(u) {
		a.group.End(a.endpoint, balance.OK, e.w.loop.Elapsed()-a.began, e.w.loop.Now())
		a.failure = u.Response.Status
		u.Close()
		return again
	}
	defer a.group.End(a.endpoint, balance.OK, e.w.loop.Elapsed()-a.began, e.w.loop.Now())
	a.relay(u)
	return finished
}

// connect returns a connection to the endpoint, an idle one if there is one and that is wanted.
func (a *attempt) connect(idle bool) (*upstream, error) {
	e := a.e
	p := &e.x.Location.Settings.Proxy
	secure, err := e.secured(a.backend)
	if err != nil {
		return nil, err
	}
	t := target{a.endpoint, secure}
	var u *upstream
	if idle {
		u = e.w.idle.take(t)
	}
	if u == nil {
		raw, err := e.task.Dial(a.endpoint.Addr, p.Connect)
		if err != nil {
			return nil, err
		}
		var nc net.Conn = raw
		if secure != nil {
			if nc, err = secure.handshake(e, raw, p.Connect); err != nil {
				_ = raw.Close()
				return nil, err
			}
		}
		e.w.totals.dialled++
		u = &upstream{Client: http1.NewClient(raw, nc, &e.w.buffers), target: t}
	} else {
		e.w.totals.reused++
	}
	e.upstream = u
	u.Raw().SetReadTimeout(p.Read)
	u.Raw().SetWriteTimeout(p.Send)
	return u, nil
}

// exchange sends the request and reads the head of the response.
func (a *attempt) exchange(u *upstream) error {
	e := a.e
	a.sent = true
	streamed := e.request.Length != 0 && !e.body.whole
	u.Head(e.appendHead(u.Begin(), streamed))
	var err error
	switch {
	case streamed:
		if err = u.Flush(); err == nil {
			e.pass(u)
		}
	case e.body.whole && e.body.size > 0:
		err = e.sendBody(u)
	default:
		if err = u.Flush(); err == nil {
			u.Sent()
		}
	}
	if w, ok := e.stream.(watched); ok {
		w.Watch(e.watch)
		defer w.Watch(nil)
	}
	// An endpoint may answer and close before it has read the request: its answer counts.
	if headErr := a.readHead(u); headErr == nil {
		return nil
	} else if err == nil {
		err = headErr
	}
	return err
}

// readHead reads the head of the final response; interim ones go to the client.
func (a *attempt) readHead(u *upstream) error {
	e := a.e
	limits := e.generation.http1
	limits.Head = max(int(e.x.Location.Settings.Proxy.BufferSize), limits.Head)
	for range maxInterim {
		if err := u.ReadHead(e.x.Method, &limits); err != nil {
			return err
		}
		switch status := u.Response.Status; {
		case status >= 200:
			return nil
		case status == 101:
			if e.request.Upgrade == "" {
				return errUnasked
			}
			return nil
		case status == 100: // we have answered that ourselves
		default:
			if err := e.stream.Inform(&u.Response); err != nil {
				return err
			}
		}
	}
	return errInterim
}

// statusClientGone is what logs and metrics have for a client that did not wait for the response.
const statusClientGone = 499

// maxInterim bounds the interim responses to a request.
const maxInterim = 32

var (
	errUnasked = http1.Error{Status: 502, Reason: "a change of protocol that nobody has asked for"}
	errInterim = http1.Error{Status: 502, Reason: "too many interim responses"}
)

// stale says whether a connection that was used before has turned out to be closed by the endpoint, so that the request may go over
// another one: it was not taken, or it can be sent twice.
func (a *attempt) stale(u *upstream, err error) bool {
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return closed && !u.Received() && a.repeatable()
}

// repeatable says whether the request may be sent once more, though it may have been received.
func (a *attempt) repeatable() bool {
	e := a.e
	if e.passing.begun {
		return false
	}
	switch e.request.Method {
	case "POST", "PATCH", "LOCK":
		return e.x.Location.Settings.Proxy.Next.On&settings.NextNonIdempotent != 0
	}
	return true
}

// failed ends an attempt without a response.
func (a *attempt) failed(u *upstream, err error) verdict {
	e := a.e
	if u != nil {
		u.Close()
	}
	e.passed()
	now := e.w.loop.Now()
	took := e.w.loop.Elapsed() - a.began
	if e.record.broken { // the client has left, as nginx logs it
		a.group.End(a.endpoint, balance.Canceled, took, now)
		e.record.add(a.endpoint, statusClientGone, took)
		e.record.status = statusClientGone
		e.stream.Abort()
		return finished
	}
	if e.passing.err != nil { // the client has failed, not the endpoint
		a.group.End(a.endpoint, balance.Canceled, took, now)
		a.failure = statusOf(e.passing.err)
		return failed
	}
	outcome, on := balance.Failed, settings.NextError
	var invalid http1.Error
	a.failure = 502
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, on, a.failure = balance.TimedOut, settings.NextTimeout, 504
	case errors.As(err, &invalid):
		on = settings.NextInvalidHeader
	}
	a.group.End(a.endpoint, outcome, took, now)
	e.record.add(a.endpoint, a.failure, took)
	next := e.x.Location.Settings.Proxy.Next.On
	if next&on == 0 || next&settings.NextOff != 0 || a.sent && !a.repeatable() {
		return failed
	}
	return again
}

// unwanted says whether the response has a status after which another endpoint is tried.
func (a *attempt) unwanted(u *upstream) bool {
	next := &a.e.x.Location.Settings.Proxy.Next
	return !a.last && len(next.Status) > 0 && slices.Contains(next.Status, u.Response.Status) && next.On&settings.NextOff == 0 &&
		a.repeatable()
}
