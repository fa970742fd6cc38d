package http1

import (
	"errors"
	"io"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

const (
	// maxExtensions bounds the bytes of chunk extensions in a message, which are of no use to anyone.
	maxExtensions = 16 << 10
	// maxTrailer bounds the trailer of a message in bytes.
	maxTrailer = 8 << 10
)

// state is where in a chunked body the next byte is (RFC 9112 7.1).
type state uint8

const (
	inSize state = iota
	inExtension
	inSizeEnd // LF
	inData
	inDataEnd // CR
	inDataEndLF
	inTrailer
)

// body decodes the body of one message.
type body struct {
	kind  kind
	done  bool
	left  int64 // of the body, or of the chunk
	state state

	digits     int // of the chunk's size
	extensions int
	text       []byte // of the trailer
	trailer    message.Header
	fields     int // limit
}

func (b *body) begin(k kind, length int64, fields int) {
	*b = body{kind: k, left: length, done: k == none, text: b.text[:0], trailer: b.trailer[:0], fields: fields}
	if k == chunked {
		b.left = 0
	}
}

// read returns the next piece, valid until the next call, and io.EOF after the last.
func (b *body) read(r *reader) ([]byte, error) {
	for {
		if ended, err := b.ended(r); err != nil {
			return nil, err
		} else if ended {
			return nil, io.EOF
		}
		if rest := r.rest(); len(rest) > 0 {
			return b.piece(r, rest), nil
		}
		if err := b.fill(r); err != nil {
			return nil, err
		}
	}
}

// piece takes what there is of the body, or of the chunk.
func (b *body) piece(r *reader, rest []byte) []byte {
	if b.kind == untilClose {
		r.r = r.w
		return rest
	}
	n := len(rest)
	if int64(n) > b.left {
		n = int(b.left)
	}
	r.r += n
	b.left -= int64(n)
	if b.kind == chunked && b.left == 0 {
		b.state = inDataEnd
	}
	return rest[:n]
}

func (b *body) fill(r *reader) error {
	size := int64(-1)
	if b.kind == sized {
		size = b.left
	}
	err := r.body(size)
	if errors.Is(err, io.EOF) {
		if b.kind != untilClose {
			return io.ErrUnexpectedEOF
		}
		b.done = true
		return nil
	}
	return err
}

// ended says whether the body has ended, as far as can be said without reading.
func (b *body) ended(r *reader) (bool, error) {
	if b.done || b.kind == untilClose {
		return b.done, nil
	}
	if b.kind == sized {
		b.done = b.left == 0
		return b.done, nil
	}
	for !b.done && b.state != inData && r.r < r.w {
		if err := b.step(r.buf[r.r]); err != nil {
			return false, err
		}
		r.r++
	}
	return b.done, nil
}

// step takes one byte of a chunked body that is not data.
func (b *body) step(c byte) error {
	switch b.state {
	case inSize:
		return b.size(c)
	case inExtension:
		b.extensions++
		switch {
		case c == '\r':
			b.state = inSizeEnd
		case classes[c]&value == 0 || b.extensions > maxExtensions:
			return bad("a chunk extension that is none, or far too long")
		}
	case inSizeEnd:
		if c != '\n' {
			return bad("a chunk size that does not end with CRLF")
		}
		b.state, b.digits = inData, 0
		if b.left == 0 {
			b.state = inTrailer
		}
	case inDataEnd:
		if c != '\r' {
			return bad("a chunk that is longer than its size")
		}
		b.state = inDataEndLF
	case inDataEndLF:
		if c != '\n' {
			return bad("a chunk that does not end with CRLF")
		}
		b.state = inSize
	case inTrailer:
		return b.takeTrailer(c)
	}
	return nil
}

// size takes a byte of a chunk's size.
func (b *body) size(c byte) error {
	n := hex(c)
	switch {
	case n >= 0 && b.digits < 15:
		b.left = b.left<<4 | n
		b.digits++
	case b.digits == 0 || n >= 0:
		return bad("a chunk size that is no number, or too large")
	case c == ';':
		b.state = inExtension
	case c == '\r':
		b.state = inSizeEnd
	default:
		return bad("a chunk size that is no number")
	}
	return nil
}

// takeTrailer takes a byte of the trailer, and parses it when it is whole.
func (b *body) takeTrailer(c byte) error {
	b.text = append(b.text, c)
	n := len(b.text)
	if n > maxTrailer {
		return bad("a trailer that is too long")
	}
	if c != '\n' {
		return nil
	}
	if n < 2 || b.text[n-2] != '\r' {
		return bad("a line that does not end with CRLF")
	}
	if n > 2 && (n < 4 || b.text[n-3] != '\n') {
		return nil
	}
	b.done = true
	f := framing{length: -1}
	return f.fields(b.text[:n-2], &b.trailer, b.fields)
}
