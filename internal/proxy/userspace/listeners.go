package userspace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/relay"
)

// listeners are the sockets that packet rules give connections to, and the Unix socket by which the next process asks
// for them. That one has a name without a file, which belongs to the network namespace.
type listeners struct {
	name      string
	firstPort uint16
	all       []*relay.Listener
	// passed is closed once the next process has them.
	passed chan struct{}
	// asked is when another process last wanted to know whether this one still relays, in Unix nanoseconds; 0: never.
	asked atomic.Int64

	mu      sync.Mutex
	control *net.UnixListener // guarded by mu; nil: not yet, or not any more
	ended   chan struct{}
}

// controlName is the name of the Unix socket.
func controlName(firstPort uint16) string { return fmt.Sprintf("@switchyard-userspace-%d", firstPort) }

// handshake bounds what the two processes say to one another, and how long the next one waits for the name.
const handshake = 5 * time.Second

// openListeners takes the listeners over from the process that has them, or makes them. It works in the network
// namespace of the calling thread.
func openListeners(firstPort uint16) (*listeners, *net.UnixConn, error) {
	l := &listeners{
		name: controlName(firstPort), firstPort: firstPort,
		passed: make(chan struct{}), ended: make(chan struct{}),
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: l.name, Net: "unix"})
	if err == nil {
		if l.all, err = ask(conn); err == nil {
			return l, conn, nil
		}
		// It is about to end, or is none of ours: the sockets are made anew if they can be.
		_ = conn.Close()
	}
	return l, nil, l.make()
}

// ask receives the listeners of the process before.
func ask(conn *net.UnixConn) ([]*relay.Listener, error) {
	if !relay.SameUser(conn) {
		return nil, errors.New("the process that has the listeners is another user's")
	}
	if err := conn.SetDeadline(time.Now().Add(handshake)); err != nil {
		return nil, err
	}
	return relay.Inherit(conn)
}

// make opens the listeners. A family that the host does not have is left out.
func (l *listeners) make() error {
	for _, loopback := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		for class := range uint16(classes) {
			for _, udp := range []bool{false, true} {
				one, err := relay.Listen(netip.AddrPortFrom(loopback, l.firstPort+class), relay.ListenOptions{UDP: udp, Transparent: true})
				if loopback.Is6() && (errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)) {
					continue
				}
				if err != nil {
					return errors.Join(fmt.Errorf("userspace proxy: %w (is another one running?)", err), l.close())
				}
				l.all = append(l.all, one)
			}
		}
	}
	return nil
}

// attach has a relay take what comes, and tells the process before, if there is one, that it may leave.
func (l *listeners) attach(r *relay.Relay, before *net.UnixConn) {
	for _, one := range l.all {
		r.Accept(one, int(one.Addr().Port()-l.firstPort))
	}
	if before == nil {
		return
	}
	// It leaves when the connection ends, too.
	_, _ = before.Write([]byte{1})
	_, _ = before.Read(make([]byte, 1))
	_ = before.Close()
}

// offer waits for the next process. It works in the network namespace of the calling thread.
func (l *listeners) offer(r *relay.Relay) error {
	var control *net.UnixListener
	var err error
	for deadline := time.Now().Add(handshake); ; time.Sleep(10 * time.Millisecond) {
		control, err = net.ListenUnix("unix", &net.UnixAddr{Name: l.name, Net: "unix"})
		// The process before lets go of the name right after it has passed the listeners.
		if err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("userspace proxy: wait for the next process: %w", err)
	}
	l.mu.Lock()
	l.control = control
	l.mu.Unlock()
	go l.serve(control, r)
	return nil
}

// serve passes the listeners to the first process that asks and takes them.
func (l *listeners) serve(control *net.UnixListener, r *relay.Relay) {
	defer close(l.ended)
	for {
		conn, err := control.AcceptUnix()
		if err != nil {
			return
		}
		l.asked.Store(time.Now().UnixNano())
		if l.pass(conn, control, r) {
			return
		}
	}
}

func (l *listeners) pass(conn *net.UnixConn, control *net.UnixListener, r *relay.Relay) bool {
	defer conn.Close()
	if !relay.SameUser(conn) || conn.SetDeadline(time.Now().Add(handshake)) != nil || relay.Pass(conn, l.all) != nil {
		return false
	}
	if n, _ := conn.Read(make([]byte, 1)); n == 0 {
		return false // it gave up
	}
	for _, one := range l.all {
		r.Leave(one)
	}
	_ = control.Close()
	close(l.passed)
	_, _ = conn.Write([]byte{1})
	return true
}

// taken reports whether the next process has the listeners.
func (l *listeners) taken() bool {
	select {
	case <-l.passed:
		return true
	default:
		return false
	}
}

// sinceAsked returns how long ago another process has shown itself; a very long time if none has.
func (l *listeners) sinceAsked() time.Duration { return time.Since(time.Unix(0, l.asked.Load())) }

// close ends the offer and closes the sockets, which the relay must have left.
func (l *listeners) close() error {
	l.mu.Lock()
	control := l.control
	l.control = nil
	l.mu.Unlock()
	var err error
	if control != nil {
		if err = control.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
		<-l.ended
	}
	for _, one := range l.all {
		err = errors.Join(err, one.Close())
	}
	l.all = nil
	return err
}
