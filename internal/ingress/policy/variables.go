package policy

import (
	"os"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// appendVariable appends the value of a part for a request.
func appendVariable(dst []byte, part *variable.Part, x *Exchange) []byte {
	switch part.Kind {
	case variable.Literal:
		return append(dst, part.Name...)
	case variable.Capture:
		return append(dst, x.own.capture(part.Number)...)
	case variable.Own:
		return append(dst, x.own.variable(part.Number)...)
	case variable.Header:
		return appendJoined(dst, x.Request.Header, part.Name)
	case variable.Argument:
		return append(dst, argument(x.Request.Query, part.Name)...)
	case variable.Cookie:
		return append(dst, cookie(x.Request.Header, part.Name)...)
	case variable.Sent:
		if x.own.response == nil {
			return dst
		}
		return appendJoined(dst, x.own.response.Header, part.Name)
	}
	if d, ok := appendOfRequest(dst, part.Kind, x); ok {
		return d
	}
	if d, ok := appendOfTLS(dst, part.Kind, x); ok {
		return d
	}
	return appendOfEntry(dst, part.Kind, x)
}

// appendOfRequest appends what the client has sent.
func appendOfRequest(dst []byte, kind variable.Kind, x *Exchange) ([]byte, bool) {
	r := x.Request
	switch kind {
	case variable.Scheme:
		dst = append(dst, x.connScheme()...)
	case variable.AccessScheme:
		dst = append(dst, x.Scheme...)
	case variable.Host:
		dst = append(dst, r.Host...)
	case variable.HTTPHost:
		dst = append(dst, r.Authority...)
	case variable.BestHTTPHost:
		dst = append(dst, x.Authority...)
	case variable.RequestURI:
		dst = append(dst, r.Target...)
	case variable.EscapedRequestURI:
		dst = appendComponent(dst, r.Target)
	case variable.URI, variable.ScriptName:
		dst = append(dst, r.Path...)
	case variable.Args:
		dst = append(dst, r.Query...)
	case variable.IsArgs:
		if len(r.Query) > 0 {
			dst = append(dst, '?')
		}
	case variable.RequestMethod:
		dst = append(dst, r.Method...)
	case variable.ServerProtocol:
		dst = append(dst, "HTTP/"...)
		dst = strconv.AppendInt(dst, int64(r.Major), 10)
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, int64(r.Minor), 10)
	case variable.RequestID:
		dst = append(dst, r.ID...)
	case variable.ContentLength:
		if r.Length > 0 {
			dst = strconv.AppendInt(dst, r.Length, 10)
		}
	case variable.ContentType:
		dst = append(dst, r.Header.Get("Content-Type")...)
	case variable.ConnectionUpgrade:
		if r.Upgrade != "" {
			dst = append(dst, "upgrade"...)
		}
	case variable.HTTPS:
		if r.TLS != nil {
			dst = append(dst, "on"...)
		}
	default:
		return dst, false
	}
	return dst, true
}

// appendOfEntry appends what the connection, the location and the time are.
func appendOfEntry(dst []byte, kind variable.Kind, x *Exchange) []byte {
	switch kind {
	case variable.RemoteAddr:
		return x.Client.AppendTo(dst)
	case variable.RemotePort:
		return strconv.AppendUint(dst, uint64(x.Request.Client.Port()), 10)
	case variable.PeerAddr:
		return x.own.peer.AppendTo(dst)
	case variable.ForwardedFor:
		return appendForwardedFor(dst, x, x.Client)
	case variable.FullForwardedFor:
		return appendForwardedFor(dst, x, x.own.peer)
	case variable.ServerName:
		if x.Host.Name == "" {
			return append(dst, '_')
		}
		return append(dst, x.Host.Name...)
	case variable.ServerPort:
		return strconv.AppendUint(dst, uint64(x.Request.Local.Port()), 10)
	case variable.PassPort:
		return strconv.AppendUint(dst, uint64(x.Port), 10)
	case variable.ServerAddr:
		return x.Request.Local.Addr().Unmap().AppendTo(dst)
	case variable.RemoteUser:
		return append(dst, x.User...)
	case variable.Status:
		if x.own.response == nil {
			return dst
		}
		return strconv.AppendInt(dst, int64(x.own.response.Status), 10)
	case variable.Dollar:
		return append(dst, '$')
	case variable.Hostname:
		name, _ := os.Hostname() // an empty name is what nginx would show, too
		return append(dst, name...)
	case variable.Msec:
		now := x.now()
		dst = strconv.AppendInt(dst, now.Unix(), 10)
		dst = append(dst, '.')
		return appendPadded(dst, now.Nanosecond()/1e6, 3)
	case variable.TimeISO8601:
		return x.now().AppendFormat(dst, "2006-01-02T15:04:05-07:00")
	case variable.TimeLocal:
		return x.now().AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	default:
		return appendOfLocation(dst, kind, x)
	}
}

// appendOfLocation appends which object of the cluster is asked for.
func appendOfLocation(dst []byte, kind variable.Kind, x *Exchange) []byte {
	l := x.Location
	switch kind {
	case variable.Namespace:
		return append(dst, l.Ingress.Namespace...)
	case variable.IngressName:
		return append(dst, l.Ingress.Name...)
	case variable.LocationPath:
		return append(dst, l.Path...)
	}
	if l.Backend == nil {
		return dst
	}
	key := &l.Backend.Key
	switch kind {
	case variable.ServiceName:
		return append(dst, key.Service.Name...)
	case variable.ServicePort:
		return appendPort(dst, key.Name, key.Number)
	case variable.UpstreamName:
		dst = append(dst, key.Service.Namespace...)
		dst = append(dst, '-')
		dst = append(dst, key.Service.Name...)
		dst = append(dst, '-')
		return appendPort(dst, key.Name, key.Number)
	}
	return dst
}

func appendPort(dst []byte, name string, number uint16) []byte {
	if name != "" {
		return append(dst, name...)
	}
	return strconv.AppendUint(dst, uint64(number), 10)
}

func appendPadded(dst []byte, n, width int) []byte {
	for i := 1; i < width; i++ {
		if limit := pow10(i); n < limit {
			dst = append(dst, '0')
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// appendForwardedFor appends the client's X-Forwarded-For with one more address.
func appendForwardedFor(dst []byte, x *Exchange, addr interface{ AppendTo([]byte) []byte }) []byte {
	mark := len(dst)
	dst = appendJoined(dst, x.Request.Header, "x_forwarded_for")
	if len(dst) > mark {
		dst = append(dst, ", "...)
	}
	return addr.AppendTo(dst)
}

// appendJoined appends the values of all fields of a name, which is in lower case with "_" for "-", as nginx joins them.
func appendJoined(dst []byte, h message.Header, name string) []byte {
	separator := ", "
	if name == "cookie" {
		separator = "; "
	}
	first := true
	for i := range h {
		if !isNamed(h[i].Name, name) {
			continue
		}
		if !first {
			dst = append(dst, separator...)
		}
		first = false
		dst = append(dst, h[i].Value...)
	}
	return dst
}

// isNamed compares the name of a field with that of a variable.
func isNamed(field []byte, name string) bool {
	if len(field) != len(name) {
		return false
	}
	for i, c := range field {
		if c == '-' {
			c = '_'
		}
		if lower(c) != name[i] {
			return false
		}
	}
	return true
}

// argument returns the value of an argument as it is in the query.
func argument(query []byte, name string) []byte {
	for rest := query; len(rest) > 0; {
		var one []byte
		one, rest = cutByte(rest, '&')
		if key, value := cutByte(one, '='); len(key) < len(one) && message.Equal(key, name) {
			return value
		}
	}
	return nil
}

// cookie returns the value of the first cookie of a name, without regard to case, as nginx's $cookie_… is; nil: there is none.
func cookie(h message.Header, name string) []byte {
	for key, value := range cookies(h) {
		if message.Equal(key, name) {
			return value
		}
	}
	return nil
}

// lastCookie returns the value of the last cookie of exactly a name, which lua-resty-cookie takes; nil: there is none.
func lastCookie(h message.Header, name string) (last []byte) {
	for key, value := range cookies(h) {
		if string(key) == name {
			last = value
		}
	}
	return last
}

// cookies yields the names and values of cookies.
func cookies(h message.Header) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for i := range h {
			if !message.Equal(h[i].Name, "Cookie") {
				continue
			}
			for rest := h[i].Value; len(rest) > 0; {
				var one []byte
				one, rest = cutByte(rest, ';')
				one = trimSpace(one)
				if key, value := cutByte(one, '='); len(key) < len(one) && !yield(trimSpace(key), trimSpace(value)) {
					return
				}
			}
		}
	}
}

// cutByte splits text at the first c; without one, all is before it.
func cutByte(text []byte, c byte) (before, after []byte) {
	for i := range text {
		if text[i] == c {
			return text[:i], text[i+1:]
		}
	}
	return text, nil
}

// appendComponent escapes all but the unreserved characters of RFC 3986.
func appendComponent(dst, text []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range text {
		switch {
		case isAlphanumeric(c), c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// AppendVariable appends the value of a part of a text for a request that Entry.Begin has seen, for logs.
func (x *Exchange) AppendVariable(dst []byte, part *variable.Part) []byte {
	return appendVariable(dst, part, x)
}
