package policy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
)

// The bounds of mirrors: how large a body may be to be copied, and how many copies may be under way. What goes beyond is not mirrored.
const (
	mirrorBody = 8 << 20
	mirrorsMax = 1024
)

// mirror compiles the copy that mirror-target gets of each request that is admitted.
func (c *compiler) mirror() {
	m := c.settings.Mirror
	if m == nil || m.Target == "" || c.location.Denied != "" {
		return
	}
	target := c.template("mirror-target", m.Target)
	host := c.template("mirror-host", m.Host)
	state, withBody := c.entry.state, m.Body
	c.step(func(x *Exchange) bool {
		to, err := url.Parse(string(target.value(x)))
		if err != nil || to.Host == "" || state.mirrors.Load() >= mirrorsMax {
			return true
		}
		request := &http.Request{
			Method: x.Request.Method, URL: to, Host: orText(string(host.value(x)), to.Host), Header: x.headers(),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}
		if withBody && x.Request.Length != 0 {
			body, err := x.Engine.Body(mirrorBody)
			if err != nil {
				return true // too long a body is the backend's alone
			}
			request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(bytes.Clone(body))), int64(len(body))
		}
		state.mirrors.Add(1)
		x.Engine.Go(func(e Engine) { e.Await(func() { send(state, request) }) })
		return true
	})
}

// send sends a copy and forgets the answer.
func send(state *State, request *http.Request) {
	defer state.mirrors.Add(-1)
	ctx, cancel := context.WithTimeout(context.Background(), authTime)
	defer cancel()
	response, err := state.transport.RoundTrip(request.WithContext(ctx))
	if err == nil {
		drain(response.Body)
	}
}
