package stream

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

const (
	// bufferSize is what is read at once.
	bufferSize = 64 << 10
	// spareBuffers bounds those that a loop keeps.
	spareBuffers = 64
)

// Buffers are those that the connections of one loop take turns with. A connection that waits has none.
type Buffers struct{ free [][]byte }

func (b *Buffers) take() []byte {
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p
	}
	return make([]byte, bufferSize)
}

func (b *Buffers) give(p []byte) {
	if len(b.free) < spareBuffers {
		b.free = append(b.free, p)
	}
}

// pair is a client's connection and that to its endpoint.
type pair struct {
	loop    *loop.Loop
	buffers *Buffers
	idle    time.Duration
	active  time.Time // when something was carried last
	err     error     // why it was cut
	up      half
	down    half
	owner   *loop.Task
}

// half carries bytes one way.
type half struct {
	pair     *pair
	from, to *loop.Conn
	carried  int64
	done     bool
}

// carry carries bytes both ways until both have ended, or one has failed, or both were silent for too long. It says how many bytes
// went to the server and came from it. Both connections are of no use after it.
func carry(t *loop.Task, client, server *loop.Conn, idle time.Duration, b *Buffers) (up, down int64, err error) {
	p := &pair{loop: t.Loop(), buffers: b, idle: idle, active: t.Loop().Now(), owner: t}
	p.up, p.down = half{pair: p, from: client, to: server}, half{pair: p, from: server, to: client}
	for _, c := range []*loop.Conn{client, server} {
		c.SetReadTimeout(idle)
		c.SetWriteTimeout(idle)
	}
	p.loop.Go(func(*loop.Task) { p.down.run() })
	p.up.run()
	for !p.down.done {
		t.Park(time.Time{})
	}
	return p.up.carried, p.down.carried, p.err
}

func (h *half) run() {
	defer func() {
		h.done = true
		h.pair.owner.Wake()
	}()
	for {
		err := h.step()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = h.to.CloseWrite()
			return
		case errors.Is(err, os.ErrDeadlineExceeded) && h.pair.loop.Now().Sub(h.pair.active) < h.pair.idle:
			// Only this way was silent.
		default:
			h.pair.cut(err)
			return
		}
	}
}

// step carries what there is, or waits for more.
func (h *half) step() error {
	if err := h.from.WaitReadable(); err != nil {
		return err
	}
	buf := h.pair.buffers.take()
	defer h.pair.buffers.give(buf)
	n, err := h.from.Read(buf)
	if n == 0 {
		return err
	}
	h.carried += int64(n)
	h.pair.active = h.pair.loop.Now()
	_, err = h.to.Write(buf[:n])
	return err
}

// cut ends both connections, so that both sides see a failure.
func (p *pair) cut(err error) {
	if p.err == nil {
		p.err = err
	}
	p.up.from.Reset()
	p.up.to.Reset()
}
