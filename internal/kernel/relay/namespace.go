package relay

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace that threads can enter.
type Namespace struct{ file *os.File }

// CurrentNamespace returns that of the calling thread.
func CurrentNamespace() (*Namespace, error) {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open this thread's network namespace: %w", err)
	}
	return &Namespace{file}, nil
}

// Close releases the namespace.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs f on a thread in the namespace: sockets that f itself opens belong to it for good.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread stays locked, and so ends with this goroutine: it is not to be used elsewhere.
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// isHome reports whether it is that of the threads that Go makes. To be asked by a goroutine that has no thread of its own.
// The first thread of the process proves nothing: it may have been locked, and left in another namespace, as any other.
func (n *Namespace) isHome() bool {
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return false
	}
	this, err := n.file.Stat()
	return err == nil && os.SameFile(own, this)
}

// enter moves the calling thread, which must be locked, to the namespace.
func (n *Namespace) enter() error {
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	return nil
}
