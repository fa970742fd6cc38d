// Package process runs the programs of a benchmark, and measures what they take.
package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clockTicks is the unit of the times in /proc/PID/stat: USER_HZ, 100 per second on every Linux port that Go has.
const clockTicks = 100

// stopTimeout is how long a process may take after SIGTERM before it is killed.
const stopTimeout = 15 * time.Second

// Process is a running program, with its output in a file.
type Process struct {
	command *exec.Cmd
	// Log is the path of that file.
	Log   string
	ended chan struct{} // closed when the process has been waited for
}

// Start starts a program with its output in the file log.
func Start(command *exec.Cmd, log string) (*Process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", command.Path, err)
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	p := &Process{command: command, Log: log, ended: make(chan struct{})}
	go func() {
		// How it ended is of interest only if it did so by itself; then the log says why.
		_ = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exited returns an error with the end of the log if the process has ended by itself.
func (p *Process) Exited() error {
	select {
	case <-p.ended:
		text, err := os.ReadFile(p.Log)
		if err != nil {
			return fmt.Errorf("%s ended, and its log cannot be read: %w", p.command, err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		return fmt.Errorf("%s ended:\n%s", p.command, bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
	default:
		return nil
	}
}

// Stop ends the program: with SIGTERM, and with SIGKILL if that has no effect within 15 s.
func (p *Process) Stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return nil // it has ended
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
	}
	if err := p.command.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.command, err)
	}
	<-p.ended
	return nil
}

// CPU returns the processor time that the process, and the children that it has waited for, have used: its own to the
// nanosecond, as a change may cost less than a clock tick, theirs in ticks.
func (p *Process) CPU() (time.Duration, error) {
	pid := p.command.Process.Pid
	var own unix.Timespec
	if err := unix.ClockGettime(processClock(pid), &own); err != nil {
		return 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the children's processor time: %w", err)
	}
	// The second field is the name in parentheses; cutime and cstime are the 16th and the 17th.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, fmt.Errorf("read the children's processor time: /proc/PID/stat has only %d fields", len(fields)+2)
	}
	total := time.Duration(own.Nano())
	for _, field := range fields[13:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the children's processor time: %w", err)
		}
		total += time.Duration(ticks) * time.Second / clockTicks
	}
	return total, nil
}

// processClock returns the clock of a process's processor time, as clock_getcpuclockid(3) does.
func processClock(pid int) int32 {
	const scheduled = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	return int32(^pid)<<3 | scheduled
}

// Memory returns a value of /proc/PID/status, such as VmRSS (now) or VmHWM (the highest so far), in bytes.
func (p *Process) Memory(field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		value, found := strings.CutPrefix(line, field+":")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("read memory: no %s in /proc/PID/status", field)
}
