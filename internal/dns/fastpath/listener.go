package fastpath

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

// MaxHandedOver is the number of packets of one listener that CoreDNS works on at once; more are dropped, as a flood
// must not cost unbounded memory. A client asks again.
const MaxHandedOver = 8192

// Target is what a listener works for; it changes with each reload.
type Target struct {
	Routes *Routes
	// Serve is CoreDNS; it is called in a goroutine of its own.
	Serve func(dns.ResponseWriter, *dns.Msg)
}

// Config of a listener.
type Config struct {
	// Addr is the address and port that CoreDNS's own socket is bound to already.
	Addr netip.AddrPort
	// Sockets is the number of sockets and loops; 0: one.
	Sockets int
	Log     *slog.Logger
	// Dropped, if set, is called for each packet that is dropped because MaxHandedOver are under way.
	Dropped func()
}

// Listener takes the UDP packets of one address of CoreDNS's.
type Listener struct {
	config  Config
	sockets []*datagram.Socket
	target  atomic.Pointer[Target]
	loops   sync.WaitGroup
	slots   chan struct{} // one for each packet that CoreDNS works on
	// closing is closed by Close.
	closing chan struct{}
}

// Listen begins to answer: the kernel passes CoreDNS's socket over from then on, until Close.
func Listen(config Config, target Target) (*Listener, error) {
	l := &Listener{config: config, slots: make(chan struct{}, MaxHandedOver), closing: make(chan struct{})}
	l.config.Sockets = max(1, config.Sockets)
	l.target.Store(&target)
	for range l.config.Sockets {
		s, err := datagram.Listen(config.Addr)
		if err != nil {
			return nil, errors.Join(err, l.closeSockets())
		}
		l.sockets = append(l.sockets, s)
	}
	if err := l.sockets[0].Steer(1, len(l.sockets)); err != nil {
		return nil, errors.Join(fmt.Errorf("fast path on %s: %w", config.Addr, err), l.closeSockets())
	}
	for i, s := range l.sockets {
		l.loops.Go(func() { l.loop(i, s) })
	}
	return l, nil
}

// Use replaces the target, from the next packet on.
func (l *Listener) Use(target Target) { l.target.Store(&target) }

// Close gives the address back to CoreDNS's socket. Nothing is lost: what has arrived is still answered, and CoreDNS may finish what
// it works on until ctx is done.
func (l *Listener) Close(ctx context.Context) error {
	close(l.closing)
	errs := []error{l.sockets[0].Steer(0, 1)}
	for _, s := range l.sockets {
		errs = append(errs, drain(ctx, s), s.StopReading())
	}
	l.loops.Wait()
	for range cap(l.slots) {
		select {
		case l.slots <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		break
	}
	return errors.Join(append(errs, l.closeSockets())...)
}

// drain waits until the loop of a socket has read all that has arrived.
func drain(ctx context.Context, s *datagram.Socket) error {
	for {
		waiting, err := s.Waiting()
		if err != nil || !waiting {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Millisecond):
		}
	}
}

func (l *Listener) closeSockets() error {
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// loop answers the packets of the i-th socket until it is closed.
func (l *Listener) loop(number int, s *datagram.Socket) {
	batch := datagram.NewBatch()
	w := &worker{random: rand.NewPCG(rand.Uint64(), rand.Uint64())}
	var answered tally
	var pace pacer
	for {
		if pace.gathers() {
			runtime.Gosched() // others first
			datagram.Pause(gatherTime)
		}
		n, err := s.Read(batch)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.config.Log.Error("reading DNS packets", "address", l.config.Addr, "error", err)
			select {
			case <-l.closing:
			case <-time.After(time.Second): // an error that stays must not spin
			}
			continue
		}
		target, now := l.target.Load(), time.Now()
		pace.read(n, now)
		for i := range n {
			packet := batch.Request(i)
			length, r := w.answer(target.Routes, packet, batch.Room(i), now)
			if length == 0 {
				l.handOver(s, batch, i, target)
				continue
			}
			batch.Reply(i, length)
			if r.Counts != nil {
				r.Counts.count(number, &w.query, batch.Room(i)[:length], len(packet), batch.Source(i).Is4())
				answered.add(r.Counts)
			}
		}
		if _, err := s.Write(batch); err != nil && !errors.Is(err, net.ErrClosed) {
			l.config.Log.Error("writing DNS packets", "address", l.config.Addr, "error", err)
		}
		answered.flush(number, time.Since(now))
	}
}

// handOver gives a packet to CoreDNS.
func (l *Listener) handOver(s *datagram.Socket, batch *datagram.Batch, i int, target *Target) {
	packet := batch.Request(i)
	if len(packet) < headerLen || packet[2]&(bitQR>>8) != 0 {
		return // nothing, or an answer: never to be answered
	}
	select {
	case l.slots <- struct{}{}:
	default:
		if l.config.Dropped != nil {
			l.config.Dropped()
		}
		return
	}
	c := &conversation{socket: s, local: s.LocalAddr(), peer: batch.Peer(i), target: target, packet: append([]byte(nil), packet...)}
	go func() {
		defer func() { <-l.slots }()
		c.serve()
	}()
}
