package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// message is a netlink message that was received, body without its generic header.
type message struct {
	typ  uint16
	seq  uint32
	body []byte
}

// request sends one request and calls visit with each message of the answer, until the last.
func (c *Conn) request(ctx context.Context, cmd uint8, flags uint16, fill func(*writer), visit func(body []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.seq++
	c.out.buf = c.out.buf[:0]
	start := c.out.begin(c.family, flags, c.seq, cmd)
	if fill != nil {
		fill(&c.out)
	}
	c.out.end(start)
	if err := c.send(c.out.buf); err != nil {
		return err
	}
	var failed error
	for {
		done, err := c.read(func(m message) (bool, error) {
			switch {
			case m.seq != c.seq:
				return false, nil
			case m.typ == unix.NLMSG_ERROR || m.typ == unix.NLMSG_DONE:
				if errno := errorCode(m.body); errno != 0 {
					return true, errno
				}
				return true, nil
			case len(m.body) < genericLen:
				return false, errMalformed
			}
			return false, visit(m.body[genericLen:])
		})
		if failed == nil {
			failed = err
		}
		var errno unix.Errno
		if done || errors.As(err, &errno) {
			return failed
		}
	}
}

// send sends messages, after it has thrown away what is left of answers that were not read to their end.
func (c *Conn) send(b []byte) error {
	for c.unread {
		if _, _, err := unix.Recvfrom(c.fd, c.receive, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.unread = true
	return os.NewSyscallError("sendto", unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// read receives a datagram and calls visit with each of its messages; it reports whether one was the last.
func (c *Conn) read(visit func(message) (last bool, err error)) (done bool, err error) {
	n := 0
	for {
		n, _, err = unix.Recvfrom(c.fd, c.receive, 0)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return false, os.NewSyscallError("recvfrom", err)
	}
	data := c.receive[:n]
	for len(data) > 0 {
		if len(data) < headerLen {
			return done, errMalformed
		}
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerLen || length > len(data) {
			return done, errMalformed
		}
		last, failed := visit(message{
			typ: binary.NativeEndian.Uint16(data[4:]), seq: binary.NativeEndian.Uint32(data[8:]), body: data[headerLen:length],
		})
		done = done || last
		if err == nil {
			err = failed
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	c.unread = !done || err != nil
	return done, err
}

// errorCode returns the error that a message ends with, 0 for success.
func errorCode(body []byte) unix.Errno {
	if len(body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
}
