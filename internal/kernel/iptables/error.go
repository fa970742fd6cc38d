package iptables

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Error is the failure of a program.
type Error struct {
	// Program is what was run, with its arguments.
	Program string
	// Output is what it said.
	Output string
	// Err is how it ended.
	Err error
	// locked is true if it gave up waiting for the lock of xtables.
	locked bool
}

// lockFile is what legacy programs lock (XT_LOCK_NAME of iptables' sources).
const lockFile = "/run/xtables.lock"

// exitResource is the exit status for want of a resource, such as the lock (RESOURCE_PROBLEM of iptables' sources).
const exitResource = 4

// Error names the program and what it said.
func (e *Error) Error() string {
	if e.locked {
		return fmt.Sprintf("%s: another program holds the lock of iptables; `fuser %s` names it: %s", e.Program, lockFile, e.Output)
	}
	return fmt.Sprintf("%s: %v: %s", e.Program, e.Err, e.Output)
}

// Unwrap returns how the program ended.
func (e *Error) Unwrap() error { return e.Err }

// newError returns the error of a program that has ended.
func newError(program string, err error, output string) *Error {
	e := &Error{Program: program, Err: err, Output: strings.TrimSpace(output)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e.locked = exit.ExitCode() == exitResource && strings.Contains(output, "lock")
	}
	return e
}

// IsLocked reports whether a program changed nothing because another one held the lock for too long.
func IsLocked(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.locked
}

// IsRefused reports whether a program was not there, or ended with an error other than that of the lock: the kernel or
// the program may lack something.
func IsRefused(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.locked {
		return false
	}
	var exit *exec.ExitError
	if errors.As(e.Err, &exit) {
		return exit.Exited()
	}
	return errors.Is(e.Err, exec.ErrNotFound) || errors.Is(e.Err, errRefused)
}

// errRefused is what a Fake says in the place of an exit status.
var errRefused = errors.New("exit status 1")
