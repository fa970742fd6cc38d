package http2

import (
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// pseudo are the pseudo-fields of a request (RFC 9113 8.3.1, RFC 8441 4).
type pseudo struct{ method, scheme, authority, path, protocol string }

// begin makes a request of the connection's field section. An error is a *streamError: the request is malformed (RFC 9113 8.1.1).
func (x *exchange) begin(id uint32, end bool) error {
	x.open(&x.conn.conn, id, x)
	x.arena, x.tunnel, x.key, x.continued, x.responded = x.arena[:0], false, "", true, false
	peer := &x.conn.peer
	x.request = message.Request{
		Header: x.request.Header[:0], Length: -1, Major: 2, TLS: peer.TLS, Peer: peer.Peer, Client: peer.Client, Local: peer.Local,
	}
	problem := x.parse(x.conn.block.fields)
	if problem == "" && end {
		problem = x.noBody()
	}
	if problem != "" {
		return streamError{id, codeProtocol, problem}
	}
	if end {
		x.endReceived()
	}
	return nil
}

// noBody notes that the request is only a head.
func (x *exchange) noBody() string {
	if x.declared > 0 {
		return "Content-Length without a body"
	}
	x.request.Length = 0
	return ""
}

// parse reads the fields, and returns why the request is malformed.
func (x *exchange) parse(fields []hpack.HeaderField) string {
	var p pseudo
	n := 0
	for ; n < len(fields) && fields[n].IsPseudo(); n++ {
		if problem := p.set(fields[n]); problem != "" {
			return problem
		}
	}
	host, cookies := "", 0
	for _, f := range fields[n:] {
		if problem := badRegular(f); problem != "" {
			return problem
		}
		switch f.Name {
		case "host":
			if host != "" {
				return "Host twice"
			}
			host = f.Value
		case "content-length":
			length := parseLength(f.Value)
			if length < 0 || x.declared >= 0 {
				return "Content-Length that is no number, or there twice"
			}
			x.declared = length
		case "te", "trailer", "http2-settings": // about the connection only
		case "expect":
			x.continued = !strings.EqualFold(f.Value, "100-continue")
			x.request.ExpectContinue = !x.continued
		case "cookie":
			cookies++
			fallthrough
		default:
			x.request.Header = append(x.request.Header, message.Field{Name: x.keep(f.Name), Value: x.keep(f.Value)})
		}
	}
	if cookies > 1 {
		x.joinCookies()
	}
	return x.target(&p, host)
}

// set takes one pseudo-field.
func (p *pseudo) set(f hpack.HeaderField) string {
	var at *string
	switch f.Name {
	case ":method":
		at = &p.method
	case ":scheme":
		at = &p.scheme
	case ":authority":
		at = &p.authority
	case ":path":
		at = &p.path
	case ":protocol":
		at = &p.protocol
	default:
		return "an unknown pseudo-field"
	}
	if *at != "" || f.Value == "" && f.Name != ":authority" {
		return "a pseudo-field twice, or empty"
	}
	*at = f.Value
	return ""
}

// target settles method, target and authority.
func (x *exchange) target(p *pseudo, host string) string {
	r := &x.request
	if p.authority == "" {
		p.authority = host
	}
	switch {
	case host != "" && !strings.EqualFold(host, p.authority):
		return "Host and :authority differ"
	case !goodMethod(p.method):
		return "a bad method"
	case p.protocol != "" && p.method != "CONNECT":
		return ":protocol without CONNECT"
	}
	r.Method, r.Length = p.method, x.declared
	if p.method == "CONNECT" && p.protocol == "" {
		if p.scheme != "" || p.path != "" || p.authority == "" {
			return "CONNECT with a path or scheme, or without an authority"
		}
		r.Target, r.Length, x.declared = x.keep(p.authority), 0, -1
	} else {
		if p.scheme != "http" && p.scheme != "https" {
			return "a scheme that is neither http nor https"
		}
		if !message.GoodTarget(p.path, p.method) {
			return "a bad path"
		}
		r.Target = x.keep(p.path)
	}
	r.Authority = x.keep(p.authority)
	var ok bool
	if r.Host, ok = message.Hostname(r.Authority, x.host); !ok {
		return "no authority, or a bad one"
	}
	x.host = r.Host
	if i := strings.IndexByte(p.path, '?'); i >= 0 {
		r.Query = r.Target[i+1:]
	}
	if p.protocol != "" {
		x.extended(p.protocol)
	}
	return ""
}

// keep copies a string into the arena: those who get it may change it.
func (x *exchange) keep(s string) []byte {
	at := len(x.arena)
	x.arena = append(x.arena, s...)
	return x.arena[at:len(x.arena):len(x.arena)]
}

// joinCookies makes one field of all fields Cookie, which HTTP/2 allows to be split (RFC 9113 8.2.3).
func (x *exchange) joinCookies() {
	var value []byte
	kept, first := x.request.Header[:0], -1
	for _, f := range x.request.Header {
		if string(f.Name) != "cookie" {
			kept = append(kept, f)
			continue
		}
		if first < 0 {
			first = len(kept)
			kept = append(kept, f)
			value = append(value, f.Value...)
			continue
		}
		value = append(append(value, "; "...), f.Value...)
	}
	kept[first].Value = value
	x.request.Header = kept
}

// fields takes the trailer: a request has no other field section after its first.
func (x *exchange) fields(end bool) error {
	if !end {
		return streamError{x.id, codeProtocol, "a trailer without END_STREAM"}
	}
	for _, f := range x.conn.block.fields {
		if problem := badRegular(f); problem != "" {
			return streamError{x.id, codeProtocol, problem}
		}
		x.trailer = append(x.trailer, message.Field{Name: x.keep(f.Name), Value: x.keep(f.Value)})
	}
	return x.receive(nil, true)
}

// goodMethod says whether a method is a token (RFC 9110 9.1).
func goodMethod(m string) bool {
	for i := range len(m) {
		if c := m[i]; !nameBytes[c] && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return m != ""
}
