package relay

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxInherited bounds the listeners that are passed at once.
const maxInherited = 64

// Pass sends listeners to the process at the other end of a Unix socket, which shares them from then on: what waits in
// their queues is lost to nobody.
func Pass(conn *net.UnixConn, listeners []*Listener) error {
	fds := make([]int, len(listeners))
	for i, l := range listeners {
		fds[i] = l.fd
	}
	if _, _, err := conn.WriteMsgUnix([]byte{byte(len(fds))}, unix.UnixRights(fds...), nil); err != nil {
		return fmt.Errorf("pass the listeners on: %w", err)
	}
	return nil
}

// Inherit receives the listeners that another process passes.
func Inherit(conn *net.UnixConn) (listeners []*Listener, err error) {
	control := make([]byte, unix.CmsgSpace(4*maxInherited))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), control)
	if err != nil {
		return nil, fmt.Errorf("receive listeners: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return nil, fmt.Errorf("receive listeners: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return listeners, fmt.Errorf("receive listeners: %w", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			l, e := inherited(fd)
			if e != nil {
				err = errors.Join(err, e, unix.Close(fd))
				continue
			}
			listeners = append(listeners, l)
		}
		if err != nil {
			return listeners, err
		}
	}
	return listeners, nil
}

// inherited returns a listener for a socket that is one already.
func inherited(fd int) (*Listener, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("look at an inherited socket: %w", os.NewSyscallError("getsockopt", err))
	}
	addr, err := localAddr(fd)
	if err != nil {
		return nil, fmt.Errorf("look at an inherited socket: %w", os.NewSyscallError("getsockname", err))
	}
	return &Listener{fd: fd, udp: kind == unix.SOCK_DGRAM, addr: addr}, nil
}

// UDP reports whether the listener is one of UDP.
func (l *Listener) UDP() bool { return l.udp }

// SameUser reports whether the process at the other end of a Unix socket runs as the same user as this one.
func SameUser(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	same := false
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		same = err == nil && int(peer.Uid) == os.Geteuid()
	})
	return err == nil && same
}
