package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is one network namespace. It is safe for concurrent use.
type Namespace struct {
	name   string
	path   string // below Directory; empty for a namespace that is not ours to remove
	handle netns.NsHandle
	nl     *netlink.Handle
	lab    *Lab
	close  sync.Once
}

// NewNamespace makes a namespace with its loopback up. Names are unique in a lab.
func (l *Lab) NewNamespace(name string) (*Namespace, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("namespace name %q: want letters, digits, '_', '.' and '-'", name)
	}
	path := l.Path(name)
	if err := mountNew(path); err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", path, err)
	}
	ns, err := open(name, path)
	if err != nil {
		return nil, errors.Join(err, unmount(path))
	}
	ns.path, ns.lab = path, l
	if err := ns.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare network namespace %s: %w", path, err), ns.Close())
	}
	l.mu.Lock()
	l.namespaces = append(l.namespaces, ns)
	l.mu.Unlock()
	return ns, nil
}

// Open returns a namespace that another process made: Close releases it and leaves it in place.
func Open(path string) (*Namespace, error) {
	return open(filepath.Base(path), path)
}

// Host returns the namespace that this process runs in, for the one case in which a lab is to be joined to it.
// Close releases it only.
func Host() (*Namespace, error) {
	return open("host", "/proc/self/ns/net")
}

// open returns handles to the namespace mounted on path.
func open(name, path string) (*Namespace, error) {
	handle, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	nl, err := netlink.NewHandleAt(handle)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", path, err), handle.Close())
	}
	return &Namespace{name: name, handle: handle, nl: nl}, nil
}

// mountNew makes a network namespace and mounts it on path.
func mountNew(path string) error {
	if err := os.MkdirAll(Directory, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		return nil
	}, func() error {
		return unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
	})
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// unmount removes the mount on path and the file below it; a path that is not there is success.
func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prepare turns duplicate address detection off, so that an IPv6 address can be used as soon as it is added, and brings
// the loopback up.
func (n *Namespace) prepare() error {
	for _, key := range []string{"net.ipv6.conf.all.accept_dad", "net.ipv6.conf.default.accept_dad"} {
		if err := n.SetSysctl(key, "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return n.SetUp("lo")
}

// Name returns the name the namespace has in its lab.
func (n *Namespace) Name() string { return n.name }

// Path returns the file the namespace is mounted on, for `nsenter --net=PATH`; it is empty for Host.
func (n *Namespace) Path() string { return n.path }

// FD returns the open file of the namespace, for netlink attributes and setns(2). It is valid until Close.
func (n *Namespace) FD() int { return int(n.handle) }

// Netlink returns a handle whose requests are answered by this namespace, whichever thread sends them.
func (n *Namespace) Netlink() *netlink.Handle { return n.nl }

// Do runs f on an OS thread that is in the namespace, and returns its error. Sockets that f itself opens, and processes
// that it starts, belong to the namespace for good; goroutines that f starts run outside of it. (So net.Dial of an IP
// address works in f, of a host name it may not.)
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return nil
	}, f)
}

// onThread runs enter, which moves the calling thread to another network namespace, then f, and returns once the thread
// is back where it was.
func onThread(enter, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err, restored := awayFromHome(enter, f)
		// A thread that could not return to its namespace stays locked, and ends with this goroutine.
		if restored {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// awayFromHome runs enter and f on the calling thread, and says whether the thread is back in its namespace.
func awayFromHome(enter, f func() error) (err error, restored bool) {
	before, err := netns.Get()
	if err != nil {
		return fmt.Errorf("remember the thread's network namespace: %w", err), true
	}
	defer before.Close()
	if err := enter(); err != nil {
		return err, true
	}
	defer func() { restored = netns.Set(before) == nil }()
	return f(), false
}

// Command returns a command that runs in the namespace. It is entered by nsenter(1), which replaces itself with the
// command: the process's id, signals and exit code are the command's own.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.path, "--", name}, args...)...)
}

// Dial connects from within the namespace to a literal address and port.
func (n *Namespace) Dial(ctx context.Context, network string, to netip.AddrPort) (conn net.Conn, err error) {
	err = n.Do(func() error {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, to.String())
		return err
	})
	return conn, err
}

// Listen listens within the namespace on a literal address and port.
func (n *Namespace) Listen(ctx context.Context, network string, on netip.AddrPort) (listener net.Listener, err error) {
	err = n.Do(func() error {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, network, on.String())
		return err
	})
	return listener, err
}

// ListenPacket opens a datagram socket within the namespace on a literal address and port.
func (n *Namespace) ListenPacket(ctx context.Context, network string, on netip.AddrPort) (conn net.PacketConn, err error) {
	err = n.Do(func() error {
		var config net.ListenConfig
		conn, err = config.ListenPacket(ctx, network, on.String())
		return err
	})
	return conn, err
}

// SetSysctl writes a kernel setting as the namespace sees it, such as "net.ipv4.ip_forward". Only those below net. are
// the namespace's own, so others are refused.
func (n *Namespace) SetSysctl(key, value string) error {
	if !strings.HasPrefix(key, "net.") {
		return fmt.Errorf("sysctl %s: only those below net. belong to a network namespace", key)
	}
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	return n.Do(func() error {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s to %s: %w", key, value, err)
		}
		return nil
	})
}

// Close kills the processes that run in the namespace and removes it. Of a namespace that was opened and not made, it
// only releases the handles. It is idempotent.
func (n *Namespace) Close() error {
	var err error
	n.close.Do(func() {
		if n.path != "" && n.lab != nil {
			err = errors.Join(killAll(n.path), unmount(n.path))
			n.lab.forget(n)
		}
		n.nl.Close()
		err = errors.Join(err, n.handle.Close())
	})
	return err
}

// forget takes a closed namespace off the lab's list.
func (l *Lab) forget(n *Namespace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.namespaces {
		if other == n {
			l.namespaces = append(l.namespaces[:i], l.namespaces[i+1:]...)
			return
		}
	}
}
