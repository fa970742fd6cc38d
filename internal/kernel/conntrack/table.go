package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
	"golang.org/x/sys/unix"
)

const (
	// dumpAttempts is how often a dump that the kernel calls inconsistent is taken, as in kube-proxy
	// (MaxAttemptsEINTR, pkg/proxy/util).
	dumpAttempts = 5
	// replyPatience is how long the kernel may take to go on with an answer.
	replyPatience = 10 * time.Second
	// receiveBuffer holds one datagram of a dump; the kernel fills at most 32 KiB (netlink_dump, linux/net/netlink).
	receiveBuffer = 64 << 10
)

// ErrPartial says that the table kept changing while it was read: what was returned is right, but may not be all.
var ErrPartial = errors.New("the connection tracking table kept changing while it was read")

// Table is the connection tracking table of one network namespace. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	fd     int    // guarded by mu; -1 once closed
	seq    uint32 // of the last request; guarded by mu
	buffer []byte // guarded by mu
}

// Open returns the table of the calling thread's network namespace.
func Open() (*Table, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netfilter netlink socket: %w", err)
	}
	patience := unix.NsecToTimeval(int64(replyPatience))
	if err := errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
	); err != nil {
		return nil, errors.Join(fmt.Errorf("set up a netfilter netlink socket: %w", err), unix.Close(fd))
	}
	return &Table{fd: fd, buffer: make([]byte, receiveBuffer)}, nil
}

// Close releases the socket. It is idempotent.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd < 0 {
		return nil
	}
	fd := t.fd
	t.fd = -1
	return unix.Close(fd)
}

// UDPFlows returns the UDP flows of a family that keep accepts. Memory is needed only for those. The error is ErrPartial
// if the flows are right but may be incomplete.
func (t *Table) UDPFlows(family model.Family, keep func(Flow) bool) ([]Flow, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dump(t, dumpRequest(family), func(message []byte) (Flow, bool) {
		f, ok := parseUDPFlow(message)
		return f, ok && keep(f)
	})
}

// Marked returns the connections of a family whose mark has all of these bits. The error is ErrPartial if they are right
// but may be incomplete.
func (t *Table) Marked(family model.Family, mark uint32) ([]Connection, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dump(t, markedRequest(family, mark), func(message []byte) (Connection, bool) {
		c, ok := parseConnection(message)
		return c, ok && c.Mark&mark == mark
	})
}

// dump returns what parse accepts of a dump, which is taken again for as long as the kernel calls it inconsistent. t.mu must
// be held.
func dump[T any](t *Table, r request, parse func(message []byte) (T, bool)) ([]T, error) {
	var list []T
	for range dumpAttempts {
		list = list[:0]
		err := t.exchange(r, func(message []byte) {
			if v, ok := parse(message); ok {
				list = append(list, v)
			}
		})
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return nil, fmt.Errorf("list the %s flows that conntrack knows: %w", r.family, err)
			}
			return list, nil
		}
	}
	return list, ErrPartial
}

// Lookup returns how a connection fares that Events has told of; false: it is gone. The cost does not depend on how many
// there are.
func (t *Table) Lookup(c Connection) (now Connection, ok bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	err = t.exchange(lookupRequest(c), func(message []byte) { now, ok = parseConnection(message) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return Connection{}, false, fmt.Errorf("look up the connection from %s to %s: %w", c.Source, c.Destination, err)
	}
	return now, ok && now.ID == c.ID, nil
}

// Delete removes the flows and returns how many there were; one that is gone already is no error. The errors of flows
// that could not be deleted are joined.
func (t *Table) Delete(flows []Flow) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	deleted := 0
	var errs []error
	for _, f := range flows {
		err := t.exchange(deleteRequest(f), nil)
		switch {
		case err == nil:
			deleted++
		case !errors.Is(err, unix.ENOENT):
			errs = append(errs, fmt.Errorf("delete the flow from %s to %s: %w", f.Source, f.Destination, err))
		}
	}
	return deleted, errors.Join(errs...)
}

// exchange sends a request and passes the payload of each message of the answer to visit, which must not keep it. It
// returns EINTR for a dump that is not consistent. t.mu must be held.
func (t *Table) exchange(r request, visit func(payload []byte)) error {
	if t.fd < 0 {
		return os.ErrClosed
	}
	t.seq++
	if err := unix.Sendto(t.fd, r.marshal(t.seq), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	interrupted := false
	for {
		n, err := t.receive()
		if err != nil {
			return err
		}
		for m := range messages(t.buffer[:n]) {
			if m.seq != t.seq {
				continue // the rest of an answer that was given up on
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			if !m.last() {
				visit(m.payload)
				continue
			}
			if err := m.err(); err != nil {
				return err
			}
			if interrupted {
				return unix.EINTR
			}
			return nil
		}
	}
}

// receive reads one datagram into t.buffer.
func (t *Table) receive() (int, error) {
	for {
		n, _, err := unix.Recvfrom(t.fd, t.buffer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue // a signal, not the state of a dump
		case errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("no answer of the kernel within %s", replyPatience)
		case err != nil:
			return 0, fmt.Errorf("receive: %w", err)
		}
		return n, nil
	}
}
