// Package overlay starts a program that sees other contents in some files: in a mount namespace of its own
// (mount_namespaces(7)), in which they are bound over the originals.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Exec replaces the process by a program, as execve(2) does; argv[0] is looked up in $PATH. files are contents by the path of
// an existing file. It needs CAP_SYS_ADMIN where there are files, and returns only with an error.
func Exec(argv, env []string, files map[string][]byte) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	// The thread that calls execve is the one that goes on, with its namespaces.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if len(files) > 0 {
		if err := ownMounts(); err != nil {
			return err
		}
	}
	for target, content := range files {
		if err := cover(target, content); err != nil {
			return err
		}
	}
	return fmt.Errorf("execute %s: %w", path, unix.Exec(path, argv, env))
}

// ownMounts gives the thread mounts of its own, whose changes others do not see.
func ownMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace (this needs root, or CAP_SYS_ADMIN): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts from the host: %w", err)
	}
	return nil
}

// cover binds a file with a content over another. The file has no name by the time that the program starts.
func cover(target string, content []byte) error {
	file, err := os.CreateTemp("", "switchyard-*")
	if err != nil {
		return fmt.Errorf("cover %s: %w", target, err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = unix.Mount(file.Name(), target, "", unix.MS_BIND, "")
	}
	if err = errors.Join(err, os.Remove(file.Name())); err != nil {
		return fmt.Errorf("cover %s: %w", target, err)
	}
	return nil
}
