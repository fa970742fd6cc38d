package nft

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
	// receiveBuffer is more than the kernel puts in one datagram of a dump (NLMSG_GOODSIZE, at most 32 KiB).
	receiveBuffer = 1 << 16
	// socketReceiveBuffer holds the replies to a transaction of which very many messages fail.
	socketReceiveBuffer = 4 << 20
	// minSendBuffer and sendOverhead: the kernel refuses a message that is longer than the send buffer less some bytes.
	minSendBuffer = 256 << 10
	sendOverhead  = 4 << 10
	// patience is how long the kernel may take to answer; it answers within the system call that asks.
	patience = 10 * time.Second
)

// Conn is a connection to the nf_tables of the network namespace of the thread that opened it.
// It is for one goroutine at a time.
type Conn struct {
	fd      int
	sendBuf int
	seq     uint32
	receive []byte
}

// Open connects to the nf_tables of the calling thread's network namespace. It needs CAP_NET_ADMIN.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netfilter netlink socket: %w", err)
	}
	c := &Conn{fd: fd, receive: make([]byte, receiveBuffer)}
	if err := c.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up a netfilter netlink socket: %w", err), unix.Close(fd))
	}
	return c, nil
}

func (c *Conn) configure() error {
	// Errors without a copy of the message that failed, and with the kernel's explanation.
	for _, option := range []int{unix.NETLINK_CAP_ACK, unix.NETLINK_EXT_ACK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, option, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := setBuffer(c.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, socketReceiveBuffer); err != nil {
		return err
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// setBuffer sets the size of a socket buffer beyond the system's limit if it may, else up to it.
func setBuffer(fd, force, polite, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, polite, size))
}

// Close closes the connection.
func (c *Conn) Close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }

// Run puts the changes of a transaction into force, all or, with an error, none. An *Error names the change that the
// kernel refused. An empty transaction is a success.
func (c *Conn) Run(ctx context.Context, tx *Transaction) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch := tx.batch()
	if len(batch) == 0 {
		return nil
	}
	if need := len(batch) + sendOverhead; need > c.sendBuf {
		size := max(need, minSendBuffer)
		if err := setBuffer(c.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size); err != nil {
			return fmt.Errorf("make room for a transaction of %d bytes: %w", len(batch), err)
		}
		c.sendBuf = size
	}
	if err := c.send(batch); err != nil {
		return fmt.Errorf("send a transaction of %d changes: %w", tx.Len(), err)
	}
	return c.outcome(batch)
}

// send sends a request, after it has thrown away what is left of answers that were not read to their end.
func (c *Conn) send(b []byte) error {
	for {
		if _, err := c.read(true); err != nil {
			break
		}
	}
	return os.NewSyscallError("sendto", unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// outcome reads what the kernel says about a batch: nothing but the acknowledgement of the last change where all went
// well; else an error for each message that failed, or for the batch's first one if it failed as a whole.
func (c *Conn) outcome(batch []byte) error {
	lastSeq := lastChange(batch)
	var failed error
	for done := false; !done; {
		data, err := c.read(failed != nil)
		if errors.Is(err, unix.EAGAIN) && failed != nil {
			return failed
		}
		if err != nil {
			return fmt.Errorf("read the outcome of a transaction: %w", err)
		}
		err = messages(data, func(m message) error {
			if m.typ != unix.NLMSG_ERROR {
				return nil
			}
			if errno := errorCode(m); errno == 0 {
				done = done || m.seq == lastSeq
			} else if failed == nil {
				failed = newError(batch, m, errno)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the outcome of a transaction: %w", err)
		}
		// After an error, what is still queued belongs to this batch too and must not be taken for the next one's.
		done = done && failed == nil
	}
	return nil
}

// lastChange returns the sequence number of the message before the batch's end.
func lastChange(batch []byte) uint32 {
	return binary.NativeEndian.Uint32(batch[len(batch)-messageHeader-familyHeader+8:]) - 1
}

// read returns the next datagram; the slice is valid until the next call. With now it does not wait for one.
func (c *Conn) read(now bool) ([]byte, error) {
	flags := 0
	if now {
		flags = unix.MSG_DONTWAIT
	}
	for {
		n, _, err := unix.Recvfrom(c.fd, c.receive, flags|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, os.NewSyscallError("recvfrom", err)
		case n > len(c.receive):
			return nil, fmt.Errorf("a netlink datagram of %d bytes: %w", n, errTruncated)
		}
		return c.receive[:n], nil
	}
}

// errorCode returns the error of an NLMSG_ERROR message, or 0 for an acknowledgement.
func errorCode(m message) unix.Errno {
	if len(m.body) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
}
