package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/nsthread"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime/shim"
)

// process is a child that runs until done is closed.
type process struct {
	cmd  *exec.Cmd
	pid  int
	done chan struct{}
	exit int // as a shell reports it: 128 and the signal's number for a killed process; set when done is closed
}

// signal is no error if the process has ended.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, p.pid, err)
	}
	return nil
}

func (p *process) kill() { _ = p.signal(syscall.SIGKILL) } // root may kill its own children

// spawn starts cmd on a thread that is in the namespaces and stays until the process ends: the kernel takes the thread
// for the parent to whose death the child's parent-death signal is tied.
func spawn(cmd *exec.Cmd, join nsthread.Namespaces, prepare func() error) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		err := join.Do(func() error {
			if err := prepare(); err != nil {
				return err
			}
			if err := cmd.Start(); err != nil {
				return err
			}
			p.pid = cmd.Process.Pid
			started <- nil
			_ = cmd.Wait() // the process state has it all
			p.exit = exitCode(cmd.ProcessState)
			close(p.done)
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func exitCode(state *os.ProcessState) int {
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// launch is what it takes to start a container's first process.
type launch struct {
	self   string // binary to execute as the shim
	spec   shim.Spec
	join   nsthread.Namespaces
	newPID bool // a PID namespace of its own
	tty    bool // stdin is a terminal, and to become the controlling one
	stdin  *os.File
	stdout *os.File
	stderr *os.File
}

// start returns when the container's command runs, with what the shim warned of.
func (l launch) start(ctx context.Context) (*process, []string, error) {
	specRead, specWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer specWrite.Close()
	reportRead, reportWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a pipe: %w", err), specRead.Close())
	}
	defer reportRead.Close()
	p, err := spawn(l.command(specRead, reportWrite), l.join, func() error { return nil })
	_, _ = specRead.Close(), reportWrite.Close() // the shim has its own
	if err != nil {
		return nil, nil, fmt.Errorf("start the container shim: %w", err)
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	err = json.NewEncoder(specWrite).Encode(l.spec)
	if err == nil {
		err = specWrite.Close()
	}
	if err != nil {
		p.kill()
		return nil, nil, fmt.Errorf("describe the container to its shim: %w", err)
	}
	warnings, err := readReports(reportRead)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		p.kill()
		<-p.done
		return nil, warnings, err
	}
	return p, warnings, nil
}

func (l launch) command(spec, report *os.File) *exec.Cmd {
	cmd := exec.Command(l.self, shim.Command)
	cmd.Stdout, cmd.Stderr = l.stdout, l.stderr
	if l.stdin != nil {
		cmd.Stdin = l.stdin
	}
	cmd.ExtraFiles = []*os.File{shim.SpecFD - 3: spec, shim.ReportFD - 3: report}
	cmd.Env = []string{"GOMAXPROCS=1"}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true, Setctty: l.tty}
	if l.newPID {
		attr.Cloneflags |= unix.CLONE_NEWPID
	}
	if l.join.PID == nil {
		// In a PID namespace that it joined, the child cannot see its parent, and Go takes that for the parent's death.
		// The shim sets the signal itself as well.
		attr.Pdeathsig = syscall.SIGKILL
	}
	cmd.SysProcAttr = attr
	return cmd
}

// readReports returns at the shim's exec or exit.
func readReports(r io.Reader) (warnings []string, err error) {
	decoder := json.NewDecoder(r)
	for {
		var report shim.Report
		if err := decoder.Decode(&report); errors.Is(err, io.EOF) {
			return warnings, nil
		} else if err != nil {
			return warnings, fmt.Errorf("read the container shim's report: %w", err)
		}
		if report.Error != "" {
			return warnings, errors.New(report.Error)
		}
		warnings = append(warnings, report.Warning)
	}
}

// startPause starts the process that holds and reaps a pod's PID namespace.
func startPause(self string) (*process, error) {
	cmd := exec.Command(self, shim.Command, shim.PauseCommand)
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setsid: true, Pdeathsig: syscall.SIGKILL}
	return spawn(cmd, nsthread.Namespaces{}, func() error { return nil })
}
