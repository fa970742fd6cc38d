package native

import (
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/policy"
)

// appendHead writes the head of the request as the backend gets it. What says who the client is and how it came is ours alone: fields
// of these names that it has sent are dropped. streamed says that the body was not kept.
func (e *exchange) appendHead(b []byte, streamed bool) []byte {
	x, proxy := &e.x, &e.x.Location.Settings.Proxy
	b = append(b, x.Method...)
	b = append(b, ' ')
	b = append(b, x.Target...)
	if proxy.HTTP10 {
		b = append(b, " HTTP/1.0\r\nHost: "...)
	} else {
		b = append(b, " HTTP/1.1\r\nHost: "...)
	}
	b = append(b, x.HostField...)
	b = append(b, "\r\n"...)
	b = e.appendOurs(b)
	for i := range e.request.Header {
		f := &e.request.Header[i]
		if !ours(f.Name) && (e.span == nil || !e.span.Owns(f.Name)) && (len(x.Edits) == 0 || !x.Edits.Has(f.Name)) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	for _, f := range x.Edits {
		if len(f.Value) > 0 {
			b = appendField(b, f.Name, f.Value)
		}
	}
	b = e.appendFraming(b, streamed)
	return append(b, "\r\n"...)
}

// appendFraming writes the fields about the body and the connection.
func (e *exchange) appendFraming(b []byte, streamed bool) []byte {
	proxy := &e.x.Location.Settings.Proxy
	switch {
	case streamed && e.request.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case streamed:
		b = appendNumber(b, "Content-Length: ", e.request.Length)
	case e.body.whole || expectsBody(e.x.Method):
		b = appendNumber(b, "Content-Length: ", e.body.size)
	}
	switch {
	case e.request.Upgrade != "":
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(b, e.request.Upgrade...)
		return append(b, "\r\n"...)
	case proxy.ConnectionHeader != "":
		b = append(b, "Connection: "...)
		b = append(b, proxy.ConnectionHeader...)
		return append(b, "\r\n"...)
	case proxy.HTTP10:
		return append(b, "Connection: close\r\n"...)
	}
	return b
}

// expectsBody says whether a request without a body has to say so (RFC 9110 8.6).
func expectsBody(method string) bool { return method == "POST" || method == "PUT" || method == "PATCH" }

// appendOurs writes what the backend is told of the client. A policy's edit of such a field replaces it.
func (e *exchange) appendOurs(b []byte) []byte {
	x := &e.x
	client := x.Client.AppendTo(e.address[:0])
	if !e.generation.table.Global.NoRequestID {
		b = e.appendOur(b, "X-Request-ID", e.request.ID)
	}
	if e.span != nil {
		b = e.appendOur(b, "traceparent", e.span.Parent)
		b = e.appendOur(b, "tracestate", e.span.State)
	}
	b = e.appendOur(b, "X-Real-IP", client)
	b = e.appendForwardedFor(b, client)
	b = e.appendOur(b, "X-Forwarded-Host", x.Authority)
	if len(x.Edits) == 0 || !x.Edits.HasName("X-Forwarded-Port") {
		b = appendNumber(b, "X-Forwarded-Port: ", int64(x.Port))
	}
	scheme := httpName
	if x.Scheme == "https" {
		scheme = httpsName
	}
	b = e.appendOur(b, "X-Forwarded-Proto", scheme)
	b = e.appendOur(b, "X-Forwarded-Scheme", scheme)
	return e.appendOur(b, "X-Scheme", scheme)
}

var httpName, httpsName = []byte("http"), []byte("https")

func (e *exchange) appendOur(b []byte, name string, value []byte) []byte {
	if edits := e.x.Edits; len(value) == 0 || len(edits) > 0 && policy.Edits.HasName(edits, name) {
		return b
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendForwardedFor writes X-Forwarded-For, and what the client has sent by that name.
func (e *exchange) appendForwardedFor(b, client []byte) []byte {
	var given [][]byte
	for i := range e.request.Header {
		if f := &e.request.Header[i]; message.Equal(f.Name, "X-Forwarded-For") {
			given = append(given, f.Value)
		}
	}
	if len(given) == 0 {
		return e.appendOur(b, "X-Forwarded-For", client)
	}
	var all []byte
	for i, v := range given {
		if i > 0 {
			all = append(all, ", "...)
		}
		all = append(all, v...)
	}
	b = e.appendOur(b, "X-Original-Forwarded-For", all)
	if peer, ok := e.x.AppendedPeer(); ok {
		client = peer.AppendTo(append(all, ", "...))
	}
	return e.appendOur(b, "X-Forwarded-For", client)
}

// ours says whether a field is one that only we may send to backends.
func ours(name []byte) bool {
	switch len(name) {
	case 5:
		return message.Equal(name, "proxy")
	case 8:
		return message.Equal(name, "x-scheme")
	case 9:
		return message.Equal(name, "x-real-ip") || message.Equal(name, "forwarded")
	case 12:
		return message.Equal(name, "x-request-id")
	case 24:
		if message.Equal(name, "x-original-forwarded-for") {
			return true
		}
	}
	return hasPrefix(name, "x-forwarded-") || hasPrefix(name, "ssl-client-")
}

func hasPrefix(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && message.Equal(name[:len(prefix)], prefix)
}

func appendField(b, name, value []byte) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

func appendNumber(b []byte, name string, n int64) []byte {
	b = append(b, name...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}
