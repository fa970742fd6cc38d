package native

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// tunnel is a connection that has changed its protocol: bytes both ways, until both sides have ended, one has failed, or nothing has
// come for as long as the backend may be silent.
type tunnel struct {
	e      *exchange
	u      *upstream
	limit  time.Duration
	active time.Duration // when something came last, of Loop.Elapsed
	done   bool          // the way from the client
}

func (t *tunnel) run() {
	e := t.e
	waits := e.task
	e.w.loop.Go(func(*loop.Task) {
		defer func() {
			t.done = true
			waits.Wake()
		}()
		if t.up() != nil {
			t.cut()
		}
	})
	if t.down() != nil {
		t.cut()
	}
	if !t.done {
		e.stream.Interrupt()
	}
	for !t.done {
		e.task.Park(noTime)
	}
	t.u.Close()
}

// cut ends both ways.
func (t *tunnel) cut() {
	t.u.Raw().Reset()
	t.e.stream.Interrupt()
}

// up passes on what the client sends.
func (t *tunnel) up() error {
	for {
		p, err := t.e.stream.Read()
		if errors.Is(err, io.EOF) {
			return t.u.CloseWrite()
		}
		if err != nil {
			return err
		}
		t.active = t.e.w.loop.Elapsed()
		t.e.record.received += int64(len(p))
		if err = t.u.Write(p); err == nil {
			err = t.u.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// down passes on what the endpoint sends.
func (t *tunnel) down() error {
	e := t.e
	for {
		p, err := t.u.Read()
		switch {
		case errors.Is(err, io.EOF):
			return e.stream.End(nil)
		case errors.Is(err, os.ErrDeadlineExceeded) && e.w.loop.Elapsed()-t.active < t.limit:
			continue // the other way is in use
		case err != nil:
			return err
		}
		t.active = e.w.loop.Elapsed()
		if err = e.write(p); err == nil {
			err = e.stream.Flush()
		}
		if err != nil {
			return err
		}
	}
}
