// Package nsthread runs functions on operating system threads of their own inside Linux namespaces.
//
// A goroutine may not stay in a namespace: the Go scheduler moves it between threads. Do locks its goroutine to a
// thread that is thrown away afterwards, so that no other goroutine ever runs in the wrong place. Namespaces are held
// by open files alone: nothing is left of them when the process dies.
package nsthread

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespaces are those that a thread joins; nil ones are left as they are.
type Namespaces struct {
	Net, UTS, IPC, PID, Mount *os.File
}

// Do runs f on a new thread in the namespaces and returns its error. f may start processes, which inherit the
// namespaces, and must wait for those that it gave a parent-death signal: they see the thread's end as their parent's.
// Goroutines that f starts are elsewhere. Joining Mount changes the root and the current directory to the namespace's.
func (n Namespaces) Do(f func() error) error {
	done := make(chan error)
	onThread(func() {
		if err := n.join(); err != nil {
			done <- err
			return
		}
		done <- f()
	})
	return <-done
}

// onThread runs f on a thread that ends with it, and that is not the main thread: that one never ends, and what /proc/self
// shows of the process (its mounts, to begin with) is the main thread's.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		defer runtime.UnlockOSThread()
		elsewhere := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(elsewhere)
			f()
		}()
		<-elsewhere // until then this goroutine keeps the main thread busy
	}()
}

func (n Namespaces) join() error {
	for _, ns := range []struct {
		file *os.File
		kind int
	}{
		{n.Net, unix.CLONE_NEWNET}, {n.UTS, unix.CLONE_NEWUTS}, {n.IPC, unix.CLONE_NEWIPC}, {n.PID, unix.CLONE_NEWPID},
	} {
		if ns.file == nil {
			continue
		}
		if err := unix.Setns(int(ns.file.Fd()), ns.kind); err != nil {
			return fmt.Errorf("enter namespace %s: %w", ns.file.Name(), err)
		}
	}
	if n.Mount == nil {
		return nil
	}
	// A thread that shares its root directory with others may not change it: setns(2).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("separate the thread's root directory: %w", err)
	}
	if err := unix.Setns(int(n.Mount.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter namespace %s: %w", n.Mount.Name(), err)
	}
	return nil
}

// Close lets go of the namespaces; each ends when its last process has.
func (n Namespaces) Close() error {
	var errs []error
	for _, f := range []*os.File{n.Net, n.UTS, n.IPC, n.PID, n.Mount} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Which says what kinds of namespaces Create makes.
type Which struct {
	Net, UTS, IPC bool
}

// Create makes new namespaces and runs prepare inside them before it returns. The caller closes them.
func Create(which Which, prepare func() error) (Namespaces, error) {
	var made Namespaces
	err := Namespaces{}.Do(func() error {
		kinds := []struct {
			want bool
			flag int
			name string
			file **os.File
		}{
			{which.Net, unix.CLONE_NEWNET, "net", &made.Net},
			{which.UTS, unix.CLONE_NEWUTS, "uts", &made.UTS},
			{which.IPC, unix.CLONE_NEWIPC, "ipc", &made.IPC},
		}
		for _, k := range kinds {
			if !k.want {
				continue
			}
			if err := unix.Unshare(k.flag); err != nil {
				return fmt.Errorf("make a %s namespace: %w", k.name, err)
			}
			file, err := os.Open("/proc/thread-self/ns/" + k.name)
			if err != nil {
				return fmt.Errorf("hold the new %s namespace: %w", k.name, err)
			}
			*k.file = file
		}
		return prepare()
	})
	if err != nil {
		return Namespaces{}, errors.Join(err, made.Close())
	}
	return made, nil
}

// OfProcess opens all the namespaces of a process. The caller closes them.
func OfProcess(pid int) (Namespaces, error) {
	var n Namespaces
	for name, file := range map[string]**os.File{"net": &n.Net, "uts": &n.UTS, "ipc": &n.IPC, "pid": &n.PID, "mnt": &n.Mount} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			return Namespaces{}, errors.Join(fmt.Errorf("open the namespaces of process %d: %w", pid, err), n.Close())
		}
		*file = f
	}
	return n, nil
}
