package native

import (
	"math/rand/v2"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/grpc"
	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/trace"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// exchange is one request on its way. It is used again for another one after release.
type exchange struct {
	w       *worker
	task    *loop.Task
	stream  message.Stream
	request *message.Request

	generation *generation
	place      *place
	policy     *policy.Policy
	x          policy.Exchange
	body       requestBody
	passing    passing
	upstream   *upstream // in use; nil: none
	watch      func()    // left, to be called when the client has

	path    []byte   // where Path was made
	id      [32]byte // a request ID of our own
	address [48]byte // the client's address as text
	own     message.Response

	record record
	span   *trace.Span // nil: the request is not traced
}

// watched is a message.Stream that tells when its client has left.
type watched interface{ Watch(gone func()) }

// left gives up what is waited for: nobody wants the response any more.
func (e *exchange) left() {
	e.record.broken = true
	if e.upstream != nil {
		e.upstream.Raw().Reset()
	}
}

// abandon ends an exchange in which something went wrong, and which may still be in use by other tasks.
func (e *exchange) abandon() {
	if e.upstream != nil {
		e.upstream.Close()
	}
	e.body.release()
	e.x.End()
}

// release makes the exchange ready for another request.
func (e *exchange) release() {
	e.body.release()
	e.x.End()
	e.task, e.stream, e.request, e.generation, e.place, e.policy = nil, nil, nil, nil, nil, nil
	e.passing, e.record = passing{}, record{attempts: e.record.attempts[:0]}
	e.own = message.Response{Header: e.own.Header[:0]}
	e.upstream, e.span = nil, nil
	if len(e.w.free) < freeExchanges {
		e.w.free = append(e.w.free, e)
	}
}

// serve serves the request.
func (e *exchange) serve() {
	r := e.request
	e.record.start = e.w.loop.Elapsed()
	e.generation = e.w.engine.current.Load()
	e.identify()
	defer e.finish()
	path, err := route.CleanPath(pathOf(r), e.path)
	if err != nil {
		e.refuse(400)
		return
	}
	r.Path = string(path)
	if cap(path) > cap(e.path) && &path[0] != &r.Target[0] {
		e.path = path[:0]
	}
	e.clean()
	host := e.generation.table.Host(withoutDot(r.Host))
	location := host.Match(r.Path)
	if location == nil {
		e.refuse(404)
		return
	}
	p := e.w.place(e.generation, host, location)
	e.place, e.policy = p, p.policy
	e.x.Request, e.x.Engine, e.x.Host, e.x.Location, e.x.Pools = r, e, host, location, e.generation.table
	e.generation.entry.Begin(&e.x)
	e.beginSpan()
	switch {
	case r.Method == "TRACE":
		e.answer(405)
	case !e.policy.Admit(&e.x):
		e.admitted()
	default:
		e.forward(e.policy.Backend(&e.x))
	}
}

// pathOf returns the path of the target.
func pathOf(r *message.Request) []byte {
	if n := len(r.Query); n > 0 || len(r.Target) > 0 && r.Target[len(r.Target)-1] == '?' {
		return r.Target[:len(r.Target)-n-1]
	}
	return r.Target
}

func withoutDot(host string) string {
	if n := len(host); n > 1 && host[n-1] == '.' {
		return host[:n-1]
	}
	return host
}

// identify gives the request its ID: the client's, if that is one, else a random one.
func (e *exchange) identify() {
	r := e.request
	if id := r.Header.Get("X-Request-ID"); goodID(id) {
		r.ID = id
		return
	}
	const digits = "0123456789abcdef"
	var n uint64
	for i := range e.id {
		if i%16 == 0 {
			n = rand.Uint64()
		}
		e.id[i] = digits[n&15]
		n >>= 4
	}
	r.ID = e.id[:]
}

// goodID says whether a client's request ID can be taken over: it is short, and nothing but printable ASCII.
func goodID(id []byte) bool {
	for _, c := range id {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 128
}

// clean drops fields whose name a backend could take for another one: those with underscores, unless they are asked for, and with
// anything but letters, digits and hyphens (nginx's ignore_invalid_headers).
func (e *exchange) clean() {
	h := e.request.Header
	underscores := e.generation.table.Global.Client.Underscores
	kept := h[:0]
	for _, f := range h {
		if plain(f.Name, underscores) {
			kept = append(kept, f)
		}
	}
	e.request.Header = kept
}

func plain(name []byte, underscores bool) bool {
	for _, c := range name {
		if !plainBytes[c] && (c != '_' || !underscores) {
			return false
		}
	}
	return true
}

var plainBytes = func() (t [256]bool) {
	for _, c := range []byte("-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// refuse answers a request that has no location.
func (e *exchange) refuse(status int) {
	e.own.Status = status
	e.send(http1.Page(status))
}

// answer answers with a page of our own.
func (e *exchange) answer(status int) {
	e.x.Fail(status)
	e.admitted()
}

// noAnswer is nginx's code for closing the connection instead of answering (return 444).
const noAnswer = 444

// admitted sends the answer that policies, or we, have made, or the error page in its place.
func (e *exchange) admitted() {
	a := &e.x.Answer
	if a.Status == noAnswer {
		e.record.status = noAnswer
		e.stream.Abort()
		return
	}
	if backend := e.policy.Intercept(&e.x, a.Status); backend != nil && e.page(backend, a.Status) {
		return
	}
	e.own.Status = a.Status
	e.own.Header = append(e.own.Header[:0], a.Header...)
	body := a.Body
	if body == nil {
		body = http1.Page(a.Status)
	}
	e.send(body)
}

// send sends an answer of our own. Its Content-Type is that of our pages, if it has none.
func (e *exchange) send(body []byte) {
	if e.own.Status >= 400 && grpc.Is(e.request) {
		e.sendStatus()
		return
	}
	r := &e.own
	if r.Status == 204 || r.Status == 304 {
		body = nil
	}
	if len(body) > 0 && !r.Header.Has("Content-Type") {
		r.Header.Add(contentType, htmlType)
	}
	r.Length = int64(len(body))
	e.policy.Response(&e.x, r)
	e.respond(r, len(body) == 0)
	if len(body) > 0 && e.write(body) == nil {
		_ = e.stream.End(nil)
	}
}

// The field names and values that we make.
var (
	contentType = []byte("Content-Type")
	htmlType    = []byte("text/html")
	dateName    = []byte("Date")
)

// respond sends the head of the response.
func (e *exchange) respond(r *message.Response, end bool) {
	if !r.Header.Has("Date") {
		r.Header.Add(dateName, e.w.dateNow())
	}
	if h := e.w.engine.http3; h != nil && e.request.TLS != nil && e.request.Major < 3 && !r.Header.Has("Alt-Svc") {
		r.Header.Add(altSvcName, h.altSvc)
	}
	e.record.status = r.Status
	if e.stream.Respond(r, end) != nil {
		e.record.broken = true
	}
}

// write sends a piece of the response.
func (e *exchange) write(p []byte) error {
	e.record.sent += int64(len(p))
	err := e.stream.Write(p)
	if err != nil {
		e.record.broken = true
	}
	return err
}

// Now is the loop's clock.
func (e *exchange) Now() time.Time { return e.w.loop.Now() }

// Await runs f, which may block, while other requests go on.
func (e *exchange) Await(f func()) { e.task.Await(f) }

// Go starts f in a task that outlives the request.
func (e *exchange) Go(f func(policy.Engine)) {
	w := e.w
	w.loop.Go(func(t *loop.Task) { f(&outlived{w, t}) })
}

// outlived is the policy.Engine of a task that outlives its request.
type outlived struct {
	w    *worker
	task *loop.Task
}

func (o *outlived) Now() time.Time { return o.w.loop.Now() }

func (o *outlived) Await(f func()) { o.task.Await(f) }

func (o *outlived) Go(f func(policy.Engine)) {
	o.w.loop.Go(func(t *loop.Task) { f(&outlived{o.w, t}) })
}

func (o *outlived) Body(int64) ([]byte, error) { return nil, errNoBody }
