package sctp

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// retransmission is how long a client waits for an answer before it repeats what it said.
const retransmission = time.Second

// client is the raw socket of one association that is, or is being, opened. The socket is connected, so that it receives
// packets of the peer's address only, but of all associations with it; those of others are left alone.
type client struct {
	file     *os.File
	from, to netip.AddrPort
	ipv4     bool // packets are received with their IP header
}

// dialRaw opens an association from the thread's namespace.
func dialRaw(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	c, err := newClient(from, to)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	a, err := c.handshake(deadline)
	if err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	if err := c.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	a.released = func() { c.file.Close() }
	go c.serve(a)
	return a, nil
}

func newClient(from, to netip.AddrPort) (*client, error) {
	c := &client{from: from, to: to, ipv4: to.Addr().Is4()}
	family, level, option := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	if c.ipv4 {
		family, level, option = unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	c.file = os.NewFile(uintptr(fd), "sctp")
	err = errors.Join(
		unix.SetsockoptInt(fd, level, option, 1),
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(from.Addr(), 0))),
		unix.Connect(fd, sockaddr(netip.AddrPortFrom(to.Addr(), 0))),
	)
	if err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	return c, nil
}

// handshake sets the association up (RFC 9260, section 5.1).
func (c *client) handshake(deadline time.Time) (*association, error) {
	own := initiation{tag: rand.Uint32() | 1, tsn: rand.Uint32()}
	head := header{from: c.from.Port(), to: c.to.Port()}
	answer, err := c.ask(encode(head, own.chunk(typeInit)), typeInitAck, own.tag, deadline)
	if err != nil {
		return nil, err
	}
	peer, err := parseInitiation(answer.value)
	if err != nil {
		return nil, err
	}
	head.tag = peer.tag
	if _, err := c.ask(encode(head, chunk{kind: typeCookieEcho, value: peer.cookie}), typeCookieAck, own.tag, deadline); err != nil {
		return nil, err
	}
	return newAssociation(c.from, c.to, own, peer, c.send), nil
}

// ask sends a packet until a chunk of the kind wanted answers it.
func (c *client) ask(packet []byte, want byte, tag uint32, deadline time.Time) (chunk, error) {
	for {
		if err := c.send(packet); err != nil {
			return chunk{}, err
		}
		again := time.Now().Add(retransmission)
		if !deadline.IsZero() && again.After(deadline) {
			again = deadline
		}
		if err := c.file.SetReadDeadline(again); err != nil {
			return chunk{}, err
		}
		answer, err := c.await(want, tag)
		if !errors.Is(err, os.ErrDeadlineExceeded) || passed(deadline) {
			return answer, err
		}
	}
}

// await returns the first chunk of a kind, or a refusal.
func (c *client) await(want byte, tag uint32) (chunk, error) {
	for {
		chunks, err := c.read(tag)
		if err != nil {
			return chunk{}, err
		}
		for _, one := range chunks {
			switch one.kind {
			case want:
				return one, nil
			case typeAbort:
				return chunk{}, c.failure(unix.ECONNREFUSED)
			}
		}
	}
}

// serve hands what comes to the association until the socket is closed.
func (c *client) serve(a *association) {
	for {
		chunks, err := c.read(a.own)
		if err != nil {
			a.mu.Lock()
			a.end(err)
			a.mu.Unlock()
			return
		}
		for _, one := range chunks {
			a.receive(one)
		}
	}
}

// send sends a packet. The kernel refuses to send what an output rule drops or rejects; which of the two, what comes back
// tells. An error that is pending is that of an earlier packet, perhaps of another client's: it is in the queue.
func (c *client) send(packet []byte) error {
	var err error
	for range 4 {
		if _, err = c.file.Write(packet); err == nil || errors.Is(err, unix.EPERM) {
			return nil
		}
		if !pending(err) {
			return err
		}
	}
	return err
}

// pending reports whether an error may be one of ICMP, which a socket reports once.
func pending(err error) bool {
	for _, errno := range []unix.Errno{
		unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.EACCES, unix.ENOPROTOOPT, unix.EMSGSIZE, unix.EHOSTDOWN,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// read returns the chunks of the next packet with a verification tag, or the error that an ICMP message stands for.
func (c *client) read(tag uint32) (chunks []chunk, err error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, largestPacket)
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		for chunks == nil && failure == nil {
			if failure = c.icmpError(int(fd), buffer); failure != nil {
				break
			}
			n, err := unix.Read(int(fd), buffer)
			switch {
			case err == nil:
				chunks = c.packet(buffer[:n], tag)
			case errors.Is(err, unix.EAGAIN):
				return false
			case !pending(err):
				failure = err
			}
		}
		return true
	})
	return chunks, errors.Join(err, failure)
}

// packet returns the chunks of a packet if it is for this association.
func (c *client) packet(b []byte, tag uint32) []chunk {
	if c.ipv4 {
		if len(b) == 0 || len(b) < int(b[0]&0xf)*4 {
			return nil
		}
		b = b[int(b[0]&0xf)*4:]
	}
	head, chunks, err := decode(b)
	if err != nil || head.from != c.to.Port() || head.to != c.from.Port() || head.tag != tag {
		return nil
	}
	return chunks
}

// icmpError returns what the first ICMP error for a packet of this association stands for, nil if none has come. Those
// for packets of others are thrown away.
func (c *client) icmpError(fd int, buffer []byte) error {
	control := make([]byte, 512)
	for {
		n, size, _, _, err := unix.Recvmsg(fd, buffer, control, unix.MSG_ERRQUEUE)
		if err != nil {
			return nil
		}
		head, err := decodeHeader(buffer[:n])
		if err != nil || head.from != c.from.Port() || head.to != c.to.Port() {
			continue
		}
		messages, err := unix.ParseSocketControlMessage(control[:size])
		if err != nil || len(messages) == 0 || len(messages[0].Data) < 4 {
			continue
		}
		// The first word of struct sock_extended_err is the error (ip(7)).
		errno := unix.Errno(binary.NativeEndian.Uint32(messages[0].Data))
		return c.failure(errno)
	}
}

// failure is an error of the peer's, or of a router's on the way.
func (c *client) failure(errno unix.Errno) error {
	return &net.OpError{Op: "dial", Net: "sctp", Addr: net.TCPAddrFromAddrPort(c.to), Err: errno}
}
