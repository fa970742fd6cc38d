package http2

import (
	"golang.org/x/net/http2/hpack"
)

// block is the field section that is being received, or was received last. A connection has one: sections are not interleaved.
type block struct {
	id       uint32
	open     bool // CONTINUATION has to follow
	end      bool // with END_STREAM
	fields   []hpack.HeaderField
	size     int // as RFC 9113 6.5.2 counts
	limit    int
	over     bool // size is more than limit: fields are not whole
	encoded  int  // bytes
	fragment int  // CONTINUATION frames
}

// emit gets each field from the decoder.
func (b *block) emit(f hpack.HeaderField) {
	b.size += int(f.Size())
	if b.size > b.limit {
		b.over = true
		return
	}
	b.fields = append(b.fields, f)
}

// headers begins a field section.
func (c *conn) headers(h frameHeader, payload []byte) error {
	if h.streamID == 0 {
		return connError{codeProtocol, "HEADERS on no stream"}
	}
	fragment, err := unpad(h, payload)
	if err != nil {
		return err
	}
	if h.has(flagPriority) {
		if len(fragment) < 5 {
			return connError{codeFrameSize, "HEADERS without room for its priority"}
		}
		fragment = fragment[5:]
	}
	b := &c.block
	clear(b.fields)
	*b = block{id: h.streamID, open: true, end: h.has(flagEndStream), fields: b.fields[:0], limit: c.limits.HeaderList}
	return c.fragment(h, fragment)
}

func (c *conn) continuation(h frameHeader, payload []byte) error {
	if !c.block.open {
		return connError{codeProtocol, "CONTINUATION of nothing"}
	}
	c.block.fragment++
	if c.block.fragment > maxContinuations+c.limits.HeaderList/continuationSize {
		return connError{codeCalm, "a field section in too many frames"}
	}
	return c.fragment(h, payload)
}

// fragment decodes a part of a field section. More than the limit is decoded too, as both sides' tables have to stay the same, but
// not much more.
func (c *conn) fragment(h frameHeader, p []byte) error {
	b := &c.block
	b.encoded += len(p)
	if b.encoded > b.limit+maxFrameSize {
		return connError{codeCalm, "a field section that is far too long"}
	}
	if _, err := c.decoder.Write(p); err != nil {
		return connError{codeCompression, err.Error()}
	}
	if b.size > 16*b.limit {
		return connError{codeCalm, "a field section that is far too large when it is decoded"}
	}
	if !h.has(flagEndHeaders) {
		return nil
	}
	b.open = false
	if err := c.decoder.Close(); err != nil {
		return connError{codeCompression, err.Error()}
	}
	return c.section()
}

// section hands the field section that has just become whole to its stream.
func (c *conn) section() error {
	b := &c.block
	s := c.streams[b.id]
	if s == nil {
		return c.side.headers(b.id, b.end)
	}
	if s.recvEnded {
		return connError{codeStreamClosed, "HEADERS after the end of a stream"}
	}
	if b.over {
		return streamError{b.id, codeCalm, "a field section of more than its limit"}
	}
	return s.owner.fields(b.end)
}

// regularName says whether a field name may be in a message: a token in lower case (RFC 9110 5.6.2, RFC 9113 8.2.1).
func regularName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return true
}

// nameBytes are the bytes of a field name.
var nameBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] = true
	}
	return t
}()

// goodValue says whether a field value may be in a message: no control characters but tabs, and no white space around it.
func goodValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return value == "" || !blank(value[0]) && !blank(value[len(value)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// badRegular says why a regular field may not be in a message of HTTP/2; "": it may.
func badRegular(f hpack.HeaderField) string {
	switch {
	case f.IsPseudo():
		return "a pseudo-field after others, or in a trailer"
	case !regularName(f.Name):
		return "a field name that is none, or not in lower case"
	case !goodValue(f.Value):
		return "a field value with control characters, or white space around it"
	}
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return "a field that is about connections of HTTP/1.1"
	case "te":
		if f.Value != "trailers" {
			return "TE with another value than trailers"
		}
	}
	return ""
}

// parseLength reads the value of Content-Length: digits only; -1: it is bad.
func parseLength(value string) int64 {
	if value == "" || len(value) > 18 {
		return -1
	}
	var n int64
	for i := range len(value) {
		c := value[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}
