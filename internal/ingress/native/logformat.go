package native

import (
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// defaultFormat is ingress-nginx's upstreaminfo.
const defaultFormat = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" ` +
	`"$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr ` +
	`$upstream_response_length $upstream_response_time $upstream_status $req_id`

// defaultJSON is the same with names, for log-format-escape-json without a format.
const defaultJSON = `{"time":"$time_iso8601","remote_addr":"$remote_addr","remote_user":"$remote_user","request":"$request",` +
	`"host":"$host","status":$status,"bytes_sent":$body_bytes_sent,"referer":"$http_referer","user_agent":"$http_user_agent",` +
	`"request_length":$request_length,"request_time":$request_time,"namespace":"$namespace","ingress":"$ingress_name",` +
	`"upstream":"$proxy_upstream_name","upstream_addr":"$upstream_addr","upstream_status":"$upstream_status",` +
	`"upstream_time":"$upstream_response_time","reason":"$answer_reason","detail":"$answer_detail","request_id":"$req_id"}`

// logFormat is a parsed format of the access log.
type logFormat struct {
	pieces []logPiece
	json   bool
}

// logPiece is a literal, a value that only the engine knows, or a variable.
type logPiece struct {
	literal string
	value   func(*exchange, []byte) []byte
	part    *variable.Part
}

// newLogFormat parses a format. What is not known stands for nothing, as it would be empty for each request.
func newLogFormat(format string, json bool) *logFormat {
	f := &logFormat{json: json}
	switch {
	case format == "" && json:
		format = defaultJSON
	case format == "":
		format = defaultFormat
	}
	for format != "" {
		literal, rest, found := strings.Cut(format, "$")
		if literal != "" {
			f.pieces = append(f.pieces, logPiece{literal: literal})
		}
		if !found {
			break
		}
		var name string
		if name, format = cutName(rest); name == "" {
			continue
		}
		f.pieces = append(f.pieces, pieceOf(name))
	}
	return f
}

// cutName returns the name of a variable at the beginning of a text, with or without braces.
func cutName(text string) (name, rest string) {
	if strings.HasPrefix(text, "{") {
		if i := strings.IndexByte(text, '}'); i > 0 {
			return text[1:i], text[i+1:]
		}
		return "", text
	}
	i := 0
	for i < len(text) && (text[i] == '_' || '0' <= text[i] && text[i] <= '9' || 'a' <= text[i]|0x20 && text[i]|0x20 <= 'z') {
		i++
	}
	return text[:i], text[i:]
}

func pieceOf(name string) logPiece {
	if value := logValue(name); value != nil {
		return logPiece{value: value}
	}
	if text, err := variable.Parse("$"+name, nil); err == nil && len(text) == 1 {
		return logPiece{part: &text[0]}
	}
	return logPiece{value: func(_ *exchange, b []byte) []byte { return b }}
}

// logValue returns how a variable is written that only the engine knows; nil: it is another one.
func logValue(name string) func(*exchange, []byte) []byte {
	switch name {
	case "status":
		return func(e *exchange, b []byte) []byte { return strconv.AppendInt(b, int64(e.record.status), 10) }
	case "body_bytes_sent", "bytes_sent":
		return func(e *exchange, b []byte) []byte { return strconv.AppendInt(b, e.record.sent, 10) }
	case "request_length":
		return func(e *exchange, b []byte) []byte { return strconv.AppendInt(b, e.requestLength(), 10) }
	case "request_time":
		return func(e *exchange, b []byte) []byte { return appendSeconds(b, e.w.loop.Elapsed()-e.record.start) }
	case "time_local":
		return func(e *exchange, b []byte) []byte {
			return e.w.loop.Now().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
		}
	case "time_iso8601":
		return func(e *exchange, b []byte) []byte { return e.w.loop.Now().AppendFormat(b, "2006-01-02T15:04:05-07:00") }
	case "msec":
		return func(e *exchange, b []byte) []byte { return appendSeconds(b, time.Duration(e.w.loop.Now().UnixNano())) }
	case "request":
		return appendRequest
	case "answer_reason":
		return func(e *exchange, b []byte) []byte { return append(b, e.x.Answer.Reason...) }
	case "answer_detail":
		return func(e *exchange, b []byte) []byte { return append(b, e.x.Answer.Detail...) }
	case "upstream_addr":
		return appendEach(func(a *attempted, b []byte) []byte { return a.endpoint.Addr.AppendTo(b) })
	case "upstream_status":
		return appendEach(func(a *attempted, b []byte) []byte { return strconv.AppendInt(b, int64(a.status), 10) })
	case "upstream_response_time", "upstream_header_time":
		return appendEach(func(a *attempted, b []byte) []byte { return appendSeconds(b, a.took) })
	case "upstream_response_length":
		return func(e *exchange, b []byte) []byte {
			if len(e.record.attempts) == 0 {
				return b
			}
			return strconv.AppendInt(b, e.record.sent, 10)
		}
	case "proxy_alternative_upstream_name":
		return func(e *exchange, b []byte) []byte {
			if e.x.Canary && e.record.backend != nil {
				return append(b, e.record.backend.Key.String()...)
			}
			return b
		}
	}
	return nil
}

func appendRequest(e *exchange, b []byte) []byte {
	r := e.request
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	switch {
	case r.Major == 1 && r.Minor == 0:
		return append(b, " HTTP/1.0"...)
	case r.Major == 1:
		return append(b, " HTTP/1.1"...)
	}
	b = append(b, " HTTP/"...)
	return append(strconv.AppendInt(b, int64(r.Major), 10), ".0"...)
}

// appendEach writes a value of each attempt, as nginx does.
func appendEach(value func(*attempted, []byte) []byte) func(*exchange, []byte) []byte {
	return func(e *exchange, b []byte) []byte {
		for i := range e.record.attempts {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = value(&e.record.attempts[i], b)
		}
		return b
	}
}

// appendSeconds writes seconds with three digits.
func appendSeconds(b []byte, d time.Duration) []byte {
	ms := d.Milliseconds()
	b = strconv.AppendInt(b, ms/1000, 10)
	return append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10))
}

// requestLength is that of the request line, the fields and the body, about as nginx counts.
func (e *exchange) requestLength() int64 {
	r := e.request
	n := int64(len(r.Method)+len(r.Target)+12) + int64(len(r.Authority)+8) + max(e.record.received, e.body.size)
	for i := range r.Header {
		n += int64(len(r.Header[i].Name) + len(r.Header[i].Value) + 4)
	}
	return n
}

// append writes the line of a request.
func (f *logFormat) append(e *exchange, b []byte) []byte {
	for i := range f.pieces {
		p := &f.pieces[i]
		if p.literal != "" {
			b = append(b, p.literal...)
			continue
		}
		at := len(b)
		switch {
		case p.value != nil:
			b = p.value(e, b)
		case e.x.Location != nil:
			b = e.x.AppendVariable(b, p.part)
		}
		if b = f.escape(b, at); len(b) == at && !f.json {
			b = append(b, '-')
		}
	}
	return append(b, '\n')
}

// escape replaces in b, from at on, what would end a value or a line: a log has one line for each request, whatever that holds.
func (f *logFormat) escape(b []byte, at int) []byte {
	n := 0
	for _, c := range b[at:] {
		if f.special(c) {
			n++
		}
	}
	if n == 0 {
		return b
	}
	raw := string(b[at:])
	b = b[:at]
	const hex = "0123456789ABCDEF" // as nginx
	for i := range len(raw) {
		c := raw[i]
		switch {
		case !f.special(c):
			b = append(b, c)
		case f.json && (c == '"' || c == '\\'):
			b = append(b, '\\', c)
		case f.json:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// special says whether a byte cannot stand in a value: JSON takes bytes beyond ASCII, nginx's own format does not.
func (f *logFormat) special(c byte) bool {
	return c == '"' || c == '\\' || c < ' ' || c == 0x7f || !f.json && c >= 0x80
}
