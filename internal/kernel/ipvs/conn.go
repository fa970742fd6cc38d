package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// batchLen is about how many bytes of changes are sent at once: enough for the cost of a system call to disappear.
	batchLen = 128 << 10
	// receiveLen is more than the kernel puts in one datagram of a dump.
	receiveLen = 64 << 10
	// socketBuffer holds a batch, and the errors of all its changes.
	socketBuffer = 4 << 20
	// patience is how long the kernel may take to answer; it answers within the system call that asks.
	patience = 10 * time.Second
)

// ErrUnsupported is returned by Open where the kernel has no IPVS.
var ErrUnsupported = errors.New("the kernel has no IPVS (CONFIG_IP_VS, module ip_vs)")

// Conn is a connection to the IPVS of the network namespace of the thread that opened it. It is for one goroutine at a
// time.
type Conn struct {
	fd      int
	family  uint16
	seq     uint32
	receive []byte
	out     writer
	// unread is true after an answer that was not read to its end.
	unread bool
}

// Open connects to the IPVS of the calling thread's network namespace. It needs CAP_NET_ADMIN. Where the kernel has no
// IPVS yet, it loads the module with modprobe(8), as ipvsadm(8) does. ErrUnsupported: there is none.
func Open() (*Conn, error) {
	family, err := netlink.GenlFamilyGet("IPVS")
	if err != nil {
		out, loading := exec.Command("modprobe", "ip_vs").CombinedOutput()
		if family, err = netlink.GenlFamilyGet("IPVS"); errors.Is(err, unix.ENOENT) {
			why := strings.TrimSpace(string(out))
			if why == "" && loading != nil {
				why = "modprobe: " + loading.Error()
			}
			return nil, fmt.Errorf("%w; %s", ErrUnsupported, why)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look for ipvs: %w", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open a generic netlink socket: %w", err)
	}
	c := &Conn{fd: fd, family: family.ID, receive: make([]byte, receiveLen)}
	if err := c.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up a generic netlink socket: %w", err), unix.Close(fd))
	}
	return c, nil
}

func (c *Conn) configure() error {
	// Errors without a copy of the message that failed.
	if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	for _, option := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, option[0], socketBuffer) == nil {
			continue
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, option[1], socketBuffer); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// Close closes the connection.
func (c *Conn) Close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }

// Run makes the changes, in order. It goes on after one that the kernel refuses, and returns an error that names the
// first of these.
func (c *Conn) Run(ctx context.Context, changes []Change) error {
	var failed error
	for len(changes) > 0 {
		if err := ctx.Err(); err != nil {
			return errors.Join(failed, err)
		}
		c.out.buf = c.out.buf[:0]
		n := 0
		for n < len(changes) && len(c.out.buf) < batchLen {
			c.out.change(c.family, 0, c.seq+uint32(n)+1, &changes[n])
			n++
		}
		if err := c.batch(changes[:n]); err != nil && failed == nil {
			failed = err
		}
		changes = changes[n:]
	}
	return failed
}

// batch sends the changes that are encoded already, and reads what came of them: errors, and in any case the outcome of
// the last, which asks for it.
func (c *Conn) batch(changes []Change) error {
	first := c.seq + 1
	c.seq += uint32(len(changes))
	last := c.out.lastMessage(len(changes))
	binary.NativeEndian.PutUint16(last[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	if err := c.send(c.out.buf); err != nil {
		return fmt.Errorf("send %d changes of ipvs: %w", len(changes), err)
	}
	var failed error
	for {
		done, err := c.read(func(m message) (bool, error) {
			if m.typ != unix.NLMSG_ERROR || m.seq-first >= uint32(len(changes)) {
				return false, nil
			}
			if errno := errorCode(m.body); errno != 0 && failed == nil {
				failed = fmt.Errorf("%s: %w", &changes[m.seq-first], errno)
			}
			return m.seq == c.seq, nil
		})
		if err != nil {
			return fmt.Errorf("read the outcome of %d changes of ipvs: %w", len(changes), errors.Join(failed, err))
		}
		if done {
			return failed
		}
	}
}

// lastMessage returns the last of n messages.
func (w *writer) lastMessage(n int) []byte {
	at := 0
	for range n - 1 {
		at += int(binary.NativeEndian.Uint32(w.buf[at:]))
	}
	return w.buf[at:]
}

// SetTimeouts sets how long connections are remembered.
func (c *Conn) SetTimeouts(ctx context.Context, t Timeouts) error {
	if t == (Timeouts{}) {
		return nil
	}
	err := c.request(ctx, cmdSetConfig, unix.NLM_F_ACK, func(w *writer) {
		w.u32(attrTimeoutTCP, seconds(t.TCP))
		w.u32(attrTimeoutFin, seconds(t.TCPFin))
		w.u32(attrTimeoutUDP, seconds(t.UDP))
	}, nil)
	if err != nil {
		return fmt.Errorf("set the timeouts of ipvs: %w", err)
	}
	return nil
}

// Services returns the virtual servers that go by a mark.
func (c *Conn) Services(ctx context.Context) ([]Service, error) {
	var list []Service
	err := c.request(ctx, cmdGetService, unix.NLM_F_DUMP, nil, func(body []byte) error {
		s, byMark, err := decodeService(body)
		if byMark && err == nil {
			list = append(list, s)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the virtual servers of ipvs: %w", err)
	}
	return list, nil
}

// Servers appends the real servers of a virtual server to list; none if there is no such virtual server.
func (c *Conn) Servers(ctx context.Context, k Key, list []Server) ([]Server, error) {
	err := c.request(ctx, cmdGetDestination, unix.NLM_F_DUMP, func(w *writer) { w.service(&Service{Key: k}, false) },
		func(body []byte) error {
			s, err := decodeServer(body, k.Family)
			list = append(list, s)
			return err
		})
	if err != nil {
		return list, fmt.Errorf("list the real servers of %s: %w", k, err)
	}
	return list, nil
}
