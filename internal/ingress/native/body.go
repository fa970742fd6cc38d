package native

import (
	"errors"
	"io"
	"os"

	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// filePiece is how much of a body is read from its file at once.
const filePiece = 64 << 10

var (
	errNoBody  = errors.New("there is no body")
	errTooLong = errors.New("the body is longer than its limit")
)

// requestBody is the body of a request, as far as it was kept.
type requestBody struct {
	whole  bool // it was kept, to its end
	memory []byte
	own    []byte   // what memory is a slice of, unless that is the stream's
	file   *os.File // has no name any more; nil: all is in memory
	size   int64
	err    error // why a policy could not have it: nobody can
	call   *callBody
}

func (b *requestBody) release() {
	if b.file != nil {
		_ = b.file.Close()
	}
	own := b.own[:0]
	if cap(own) > filePiece {
		own = nil
	}
	*b = requestBody{own: own}
}

// takeBody reads the whole body if the location asks for it. It returns the status of why not; 0: all is well.
func (e *exchange) takeBody(b *route.Backend) int {
	p := &e.x.Location.Settings.Proxy
	if p.MaxBody > 0 && e.request.Length > p.MaxBody {
		return 413
	}
	if e.body.err != nil {
		return statusOf(e.body.err)
	}
	if e.body.whole || e.request.Length == 0 || speaksGRPC(b) ||
		!p.BufferRequest && (e.request.Length > 0 || !speaksFastCGI(b)) {
		return 0
	}
	if err := e.keep(p.MaxBody, p.BodyBuffer); err != nil {
		return statusOf(err)
	}
	return 0
}

// statusOf returns what a client is answered whose body could not be read.
func statusOf(err error) int {
	var refused http1.Error
	switch {
	case errors.Is(err, errTooLong):
		return 413
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 408
	case errors.As(err, &refused):
		return refused.Status
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 400
	}
	return 500
}

// keep reads the body to its end, up to memory bytes of it in memory and the rest into a file. limit 0 is no limit.
func (e *exchange) keep(limit, memory int64) error {
	b := &e.body
	b.memory = b.own[:0]
	for {
		p, err := e.stream.Read()
		if errors.Is(err, io.EOF) {
			b.whole = true
			e.record.received = b.size
			return nil
		}
		if err != nil {
			return err
		}
		b.size += int64(len(p))
		switch {
		case limit > 0 && b.size > limit:
			return errTooLong
		case b.size == int64(len(p)) && b.size == e.request.Length:
			b.memory, b.whole = p, true // it stays where it is
			e.record.received = b.size
			return nil
		case b.file == nil && b.size <= memory:
			b.memory = append(b.memory, p...)
			b.own = b.memory
		default:
			if err := e.spill(p); err != nil {
				return err
			}
		}
	}
}

// spill appends a piece to the file, which is made if there is none.
func (e *exchange) spill(p []byte) (err error) {
	b := &e.body
	e.task.Await(func() {
		if b.file == nil {
			if b.file, err = os.CreateTemp(e.w.engine.config.TempDir, "switchyard-body-"); err != nil {
				return
			}
			if err = os.Remove(b.file.Name()); err != nil {
				return
			}
			if _, err = b.file.Write(b.memory); err != nil {
				return
			}
			b.memory = nil
		}
		_, err = b.file.Write(p)
	})
	return err
}

// Body reads the request's whole body and keeps it. One that is longer than limit is passed on, but not returned.
func (e *exchange) Body(limit int64) ([]byte, error) {
	b, p := &e.body, &e.x.Location.Settings.Proxy
	if !b.whole && e.request.Length != 0 {
		if b.err = e.keep(p.MaxBody, max(p.BodyBuffer, limit)); b.err != nil {
			return nil, b.err
		}
	}
	if b.file != nil || int64(len(b.memory)) > limit {
		return nil, errTooLong
	}
	return b.memory, nil
}

// sendBody sends a body that was kept, with the head that waits in u.
func (e *exchange) sendBody(u *upstream) error {
	b := &e.body
	if b.file != nil {
		if err := e.sendFile(u); err != nil {
			return err
		}
	} else if err := u.Write(b.memory); err != nil {
		return err
	}
	if err := u.Flush(); err != nil {
		return err
	}
	u.Sent()
	return nil
}

func (e *exchange) sendFile(u *upstream) error {
	buf := make([]byte, filePiece)
	for at := int64(0); at < e.body.size; {
		var n int
		var err error
		e.task.Await(func() { n, err = e.body.file.ReadAt(buf, at) })
		if n == 0 && err != nil {
			return err
		}
		if err := u.Write(buf[:n]); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// passing is a body on its way from the client to an endpoint, by a task of its own: the response may come meanwhile.
type passing struct {
	begun, done bool
	err         error // of the client's side
}

// pass passes the body on, whose head waits in u, from now on.
func (e *exchange) pass(u *upstream) {
	waits := e.task
	e.passing.begun = true
	e.w.loop.Go(func(*loop.Task) {
		defer func() {
			e.passing.done = true
			waits.Wake()
		}()
		client, err := e.passPieces(u)
		if client != nil {
			e.passing.err = client
			u.Raw().Reset() // whoever waits for the response need not
		} else if err == nil {
			u.Sent()
		}
	})
}

// passPieces returns what went wrong, on the client's side and on the endpoint's.
func (e *exchange) passPieces(u *upstream) (client, endpoint error) {
	limit, send := e.x.Location.Settings.Proxy.MaxBody, u.Write
	if e.request.Length < 0 {
		send = u.WriteChunk
	}
	for {
		p, err := e.stream.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err, nil
		}
		if e.record.received += int64(len(p)); limit > 0 && e.record.received > limit {
			return errTooLong, nil
		}
		if err = send(p); err == nil {
			err = u.Flush()
		}
		if err != nil {
			return nil, err
		}
	}
	if e.request.Length < 0 {
		if err := u.EndChunks(e.stream.Trailer()); err != nil {
			return nil, err
		}
	}
	return nil, u.Flush()
}

// passed ends the passing of the body, if it has not ended.
func (e *exchange) passed() {
	if !e.passing.begun {
		return
	}
	if !e.passing.done {
		e.stream.Interrupt()
	}
	for !e.passing.done {
		e.task.Park(noTime)
	}
}
