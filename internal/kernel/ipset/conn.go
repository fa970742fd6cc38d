package ipset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// messageLen is about how long a message with elements may be: an attribute cannot be longer than 64 KiB.
	messageLen = 48 << 10
	// receiveLen is more than the kernel puts in one datagram of a dump.
	receiveLen = 64 << 10
	// patience is how long the kernel may take to answer; it answers within the system call that asks.
	patience = 10 * time.Second
)

// The error numbers of ip_set (IPSET_ERR_*).
const (
	errnoFindType = 4098
	errnoBusy     = 4101
	errnoExist    = 4103
)

// Conn is a connection to the ip_set of the network namespace of the thread that opened it. It is for one goroutine at a
// time.
type Conn struct {
	fd      int
	seq     uint32
	receive []byte
	out     writer
}

// Open connects to the ip_set of the calling thread's network namespace. It needs CAP_NET_ADMIN.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netfilter netlink socket: %w", err)
	}
	c := &Conn{fd: fd, receive: make([]byte, receiveLen)}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up a netfilter netlink socket: %w", err), unix.Close(fd))
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }

// Create makes a set; one that is there already is an error (ErrOther). ErrUnsupported: the kernel does not have it.
func (c *Conn) Create(ctx context.Context, s Set) error {
	c.seq++
	c.out.begin(cmdCreate, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, c.seq, s.Family, s.Name)
	c.out.create(&s)
	if err := c.request(ctx, nil); err != nil {
		return fmt.Errorf("create the set %s %s %s: %w", s.Name, s.Kind, s.Family, err)
	}
	return nil
}

// Destroy removes a set; ErrNotExist: there is none, ErrBusy: a rule uses it.
func (c *Conn) Destroy(ctx context.Context, s Set) error {
	c.seq++
	c.out.begin(cmdDestroy, unix.NLM_F_ACK|unix.NLM_F_EXCL, c.seq, s.Family, s.Name)
	if err := c.request(ctx, nil); err != nil {
		return fmt.Errorf("destroy the set %s: %w", s.Name, err)
	}
	return nil
}

// List returns the elements of a set, in no order. ErrNotExist: there is no such set; ErrOther: it is not like this.
func (c *Conn) List(ctx context.Context, s Set) ([]Entry, error) {
	var list []Entry
	have := Set{Name: s.Name}
	c.seq++
	c.out.begin(cmdList, unix.NLM_F_DUMP, c.seq, s.Family, s.Name)
	err := c.request(ctx, func(body []byte) error {
		return decode(body, &have, func(e Entry) { list = append(list, e) })
	})
	if err == nil && have != s {
		err = ErrOther
	}
	if err != nil {
		return nil, fmt.Errorf("list the set %s: %w", s.Name, err)
	}
	return list, nil
}

// Add adds elements to a set, and gives new marks to those that are there.
func (c *Conn) Add(ctx context.Context, s Set, list []Entry) error {
	return c.change(ctx, cmdAdd, s, list)
}

// Delete deletes elements, as far as they are there.
func (c *Conn) Delete(ctx context.Context, s Set, list []Entry) error {
	return c.change(ctx, cmdDelete, s, list)
}

func (c *Conn) change(ctx context.Context, cmd uint16, s Set, list []Entry) error {
	for len(list) > 0 {
		c.seq++
		c.out.begin(cmd, unix.NLM_F_ACK, c.seq, s.Family, s.Name)
		c.out.net32(attrLine, 0)
		elements := c.out.nest(attrElements)
		n := 0
		for n < len(list) && len(c.out.buf) < messageLen {
			c.out.entry(&s, &list[n])
			n++
		}
		c.out.endNest(elements)
		if err := c.request(ctx, nil); err != nil {
			verb := map[uint16]string{cmdAdd: "add", cmdDelete: "delete"}[cmd]
			return fmt.Errorf("%s elements of the set %s, %s or one after it: %w", verb, s.Name, list[0], err)
		}
		list = list[n:]
	}
	return nil
}

// request sends the message that is written, and calls visit with each message of the answer.
func (c *Conn) request(ctx context.Context, visit func(body []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.send(c.out.message()); err != nil {
		return err
	}
	var failed error
	for {
		done, err := c.read(visit)
		if failed == nil {
			failed = err
		}
		if done {
			return failed
		}
	}
}

// send sends a request, after it has thrown away what is left of answers that were not read to their end.
func (c *Conn) send(b []byte) error {
	for {
		if _, _, err := unix.Recvfrom(c.fd, c.receive, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return os.NewSyscallError("sendto", unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// read receives a datagram, and reports whether it ends the answer.
func (c *Conn) read(visit func(body []byte) error) (done bool, err error) {
	n := 0
	for {
		n, _, err = unix.Recvfrom(c.fd, c.receive, 0)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return true, os.NewSyscallError("recvfrom", err)
	}
	data := c.receive[:n]
	for len(data) > 0 {
		if len(data) < headerLen {
			return true, errMalformed
		}
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerLen || length > len(data) {
			return true, errMalformed
		}
		typ, seq, body := binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint32(data[8:]), data[headerLen:length]
		data = data[min((length+3)&^3, len(data)):]
		switch {
		case seq != c.seq:
		case typ == unix.NLMSG_ERROR || typ == unix.NLMSG_DONE:
			return true, outcome(body)
		case len(body) < familyLen:
			return true, errMalformed
		case visit != nil && err == nil:
			err = visit(body[familyLen:])
		}
	}
	return false, err
}

// outcome returns the error that an answer ends with.
func outcome(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	switch code := -int32(binary.NativeEndian.Uint32(body)); code {
	case 0:
		return nil
	case int32(unix.ENOENT):
		return ErrNotExist
	case int32(unix.EEXIST):
		return ErrOther
	case errnoBusy:
		return ErrBusy
	case errnoFindType, int32(unix.EOPNOTSUPP), int32(unix.EINVAL):
		return fmt.Errorf("%w (error %d)", ErrUnsupported, code)
	case errnoExist:
		return unix.EEXIST
	default:
		return unix.Errno(code)
	}
}
