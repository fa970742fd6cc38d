package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// Back-off between the starts of a process that keeps ending.
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// stableAfter is how long a process must have run for its next end to count as the first.
	stableAfter = 30 * time.Second
)

// stopGrace is how long a process may take to end after SIGTERM.
const stopGrace = 15 * time.Second

// child is a process that the supervisor keeps running in a namespace.
type child struct {
	name      string
	namespace *lab.Namespace
	args      []string
	logFile   string
	// isolate gives the process a PID, a mount and a host name space of its own: then all that it starts ends with it,
	// and what it mounts goes with it, however it ends.
	isolate bool

	record *recorder
	log    *slog.Logger
}

// run starts the process again and again until the context ends, then stops it.
func (c *child) run(ctx context.Context) {
	backoff := firstBackoff
	for {
		began := time.Now()
		err := c.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > stableAfter {
			backoff = firstBackoff
		}
		c.log.Warn("process ended, starting it again", "process", c.name, "error", err, "after", backoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// runOnce starts the process and waits for its end; when the context ends, it ends the process.
func (c *child) runOnce(ctx context.Context) error {
	logFile, err := openLog(c.logFile)
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", c.args...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if c.isolate {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	}
	// A process is born in the network namespace of the thread that forks it. (That thread must outlive it, or Pdeathsig
	// strikes: Do gives its threads back to the Go runtime, which keeps them.)
	if err := c.namespace.Do(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	recorded := c.record.started(c.name, cmd.Process.Pid)
	return errors.Join(recorded, cmd.Wait())
}

// openLog opens a log for appending.
func openLog(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
