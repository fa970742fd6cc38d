package native

import (
	"io"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// replayed is how much of a body is kept until a server has answered, to be sent to another one.
const replayed = 64 << 10

// callBody is the body of a request to an endpoint that takes it while it answers: what was kept of it, or what comes, up to its limit.
type callBody struct {
	e      *exchange
	at     int64  // of what was kept, or of replay
	replay []byte // what has come
	once   bool   // it cannot be sent again: it was too long, or the server has answered
}

// forCall returns the body for a further attempt.
func (b *requestBody) forCall(e *exchange) *callBody {
	if b.call == nil {
		b.call = &callBody{e: e}
	}
	return b.call
}

// forget gives up what is kept for another attempt: there will be none.
func (b *callBody) forget() { b.once, b.replay = true, nil }

// rewind makes ready for another attempt; false: there can be none.
func (b *callBody) rewind() bool {
	if !b.e.body.whole {
		stream, ok := b.e.stream.(interface{ Resume() })
		if b.once || !ok {
			return false
		}
		stream.Resume()
	}
	b.at = 0
	return true
}

// Read returns the next piece.
func (b *callBody) Read() ([]byte, error) {
	e := b.e
	if e.body.whole {
		return b.kept()
	}
	if n := int64(len(b.replay)); b.at < n {
		p := b.replay[b.at:]
		b.at = n
		return p, nil
	}
	p, err := e.stream.Read()
	if err != nil {
		return nil, err
	}
	e.record.received += int64(len(p))
	if limit := e.x.Location.Settings.Proxy.MaxBody; limit > 0 && e.record.received > limit {
		return nil, errTooLong
	}
	if b.once = b.once || len(b.replay)+len(p) > replayed; b.once {
		b.replay = nil
		return p, nil
	}
	b.replay = append(b.replay, p...)
	b.at = int64(len(b.replay))
	return p, nil
}

// kept returns a piece of the body that was kept.
func (b *callBody) kept() (p []byte, err error) {
	body := &b.e.body
	switch {
	case b.at >= body.size:
		return nil, io.EOF
	case body.file == nil:
		b.at = body.size
		return body.memory, nil
	}
	p = make([]byte, filePiece)
	var n int
	b.e.task.Loop().Running().Await(func() { n, err = body.file.ReadAt(p, b.at) })
	if n == 0 {
		return nil, err
	}
	b.at += int64(n)
	return p[:n], nil
}

// Trailer returns the fields after the body.
func (b *callBody) Trailer() message.Header { return b.e.stream.Trailer() }

// Interrupt ends a Read that waits.
func (b *callBody) Interrupt() { b.e.stream.Interrupt() }
