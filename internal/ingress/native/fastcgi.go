package native

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/fastcgi"
	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// speaksFastCGI says whether the endpoints of a backend speak FastCGI. They have to be told how long a body is before it comes.
func speaksFastCGI(b *route.Backend) bool { return b.Upstream.Protocol == settings.FCGI }

// fastcgi makes the attempt with an endpoint that speaks FastCGI.
func (a *attempt) fastcgi() verdict {
	e := a.e
	a.endpoint.Begin()
	a.began = e.w.loop.Elapsed()
	proxy := &e.x.Location.Settings.Proxy
	params, err := e.params(&a.backend.Upstream.FastCGI)
	if err != nil {
		return a.failed(nil, http1.Error{Status: 503, Reason: err.Error()})
	}
	raw, err := e.task.Dial(a.endpoint.Addr, proxy.Connect)
	if err != nil {
		return a.failed(nil, err)
	}
	raw.SetReadTimeout(proxy.Read)
	raw.SetWriteTimeout(proxy.Send)
	a.sent = true
	s := script{a: a, call: fastcgi.New(raw)}
	return s.run(params, max(int(proxy.BufferSize), e.generation.http1.Head))
}

// script is a request to an endpoint that speaks FastCGI.
type script struct {
	a    *attempt
	call *fastcgi.Call
	done bool // the body is sent, or will not be
}

func (s *script) run(params []fastcgi.Param, limit int) verdict {
	a, e := s.a, s.a.e
	err := s.call.Begin(params)
	if err == nil {
		e.w.loop.Go(s.send)
	} else {
		s.done = true
	}
	// An endpoint may answer and close before it has read the request: its answer counts.
	r, headErr := s.call.Response(limit)
	if headErr != nil {
		s.stop()
		if err == nil {
			err = headErr
		}
		var bad fastcgi.Error
		if errors.As(err, &bad) {
			err = http1.Error{Status: 502, Reason: bad.Reason}
		}
		return a.failed(nil, err)
	}
	took := e.w.loop.Elapsed() - a.began
	e.record.add(a.endpoint, r.Status, took)
	if page := e.policy.Intercept(&e.x, r.Status); page != nil {
		s.stop()
		if !e.page(page, r.Status) {
			e.own.Status = r.Status
			e.send(nil)
		}
	} else {
		e.policy.Response(&e.x, r)
		s.relay(r)
		s.stop()
	}
	a.group.End(a.endpoint, balance.OK, took, e.w.loop.Now())
	return finished
}

// send carries the body to the endpoint.
func (s *script) send(*loop.Task) {
	e := s.a.e
	waits := e.task
	defer func() {
		s.done = true
		waits.Wake()
	}()
	body := callBody{e: e}
	for e.request.Length != 0 {
		p, err := body.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			e.passing.err = err
			s.call.Close()
			return
		}
		if s.call.Write(p) != nil {
			return // the response says why, or its absence
		}
	}
	_ = s.call.End()
}

// stop ends the connection, and the way of the body.
func (s *script) stop() {
	err := s.a.e.passing.err
	s.call.Close()
	if !s.done && !s.a.e.body.whole {
		s.a.e.stream.Interrupt()
	}
	for !s.done {
		s.a.e.task.Park(noTime)
	}
	s.a.e.passing.err = err // not that we have stopped it
}

// relay sends the response to the client.
func (s *script) relay(r *message.Response) {
	e := s.a.e
	end := e.request.Method == "HEAD" || r.Status == 204 || r.Status == 304 || s.call.Ended()
	e.respond(r, end)
	for !end && !e.record.broken {
		if !s.call.Buffered() && e.stream.Flush() != nil {
			e.record.broken = true
			return
		}
		p, err := s.call.Read()
		if errors.Is(err, io.EOF) {
			_ = e.stream.End(nil)
			return
		}
		if err != nil {
			e.stream.Abort()
			return
		}
		if e.x.Pacer.Rate > 0 {
			_ = e.pace(p)
		} else {
			_ = e.write(p)
		}
	}
}

// params returns the parameters of the request: those of CGI (RFC 3875 4.1) as nginx's fastcgi_params has them, the request's fields,
// and the backend's own, which replace others of their name.
func (e *exchange) params(f *settings.FastCGI) ([]fastcgi.Param, error) {
	path, query, _ := bytes.Cut(e.x.Target, []byte("?"))
	if bytes.Equal(e.x.Target, e.request.Target) {
		path = []byte(e.request.Path)
	} else if clean, err := route.CleanPath(path, nil); err == nil {
		path = clean
	}
	name := string(path)
	if strings.HasSuffix(name, "/") {
		name += f.Index
	}
	r := e.request
	length := ""
	if n := max(r.Length, e.body.size); n > 0 || expectsBody(r.Method) {
		length = strconv.FormatInt(n, 10)
	}
	var out []fastcgi.Param
	add := func(name, value string) { out = append(out, fastcgi.Param{Name: name, Value: []byte(value)}) }
	for _, p := range [][2]string{
		{"QUERY_STRING", string(query)},
		{"REQUEST_METHOD", e.x.Method},
		{"CONTENT_TYPE", string(r.Header.Get("content-type"))},
		{"CONTENT_LENGTH", length},
		{"SCRIPT_NAME", name},
		{"REQUEST_URI", string(r.Target)},
		{"DOCUMENT_URI", string(path)},
		{"SERVER_PROTOCOL", "HTTP/" + strconv.Itoa(r.Major) + "." + strconv.Itoa(r.Minor)},
		{"REQUEST_SCHEME", e.x.Scheme},
		{"GATEWAY_INTERFACE", "CGI/1.1"},
		{"REMOTE_ADDR", e.x.Client.String()},
		{"REMOTE_PORT", strconv.Itoa(int(r.Client.Port()))},
		{"SERVER_ADDR", r.Local.Addr().String()},
		{"SERVER_PORT", strconv.Itoa(int(e.x.Port))},
		{"SERVER_NAME", r.Host},
		{"REDIRECT_STATUS", "200"},
	} {
		add(p[0], p[1])
	}
	if e.x.Scheme == "https" {
		add("HTTPS", "on")
	}
	for _, field := range e.callHead(false).Header {
		add("HTTP_"+strings.ToUpper(strings.ReplaceAll(string(field.Name), "-", "_")), string(field.Value))
	}
	add("HTTP_HOST", string(e.x.HostField))
	return e.ownParams(out, f.Params, name)
}

// ownParams adds the parameters that the backend asks for.
func (e *exchange) ownParams(out []fastcgi.Param, own []settings.HeaderEdit, script string) ([]fastcgi.Param, error) {
	for _, p := range own {
		text, err := variable.Parse(p.Value, nil)
		if err != nil {
			return nil, err
		}
		var value []byte
		for i := range text {
			if text[i].Kind == variable.ScriptName {
				value = append(value, script...)
			} else {
				value = e.x.AppendVariable(value, &text[i])
			}
		}
		kept := out[:0]
		for _, other := range out {
			if other.Name != p.Name {
				kept = append(kept, other)
			}
		}
		out = append(kept, fastcgi.Param{Name: p.Name, Value: value})
	}
	return out, nil
}
