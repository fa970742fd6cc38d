package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/shim"
)

// execution is a further command in a running container. A nil stream is not connected.
type execution struct {
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	tty    bool
	sizes  <-chan remotecommand.TerminalSize
}

// run executes the command as the container's user, with its environment and capabilities, and returns its exit code.
// The end of the context kills it. It needs no shim: the container's /proc is there, and a thread can join all its
// namespaces, which makes an exec probe as cheap as a fork.
func (e execution) run(ctx context.Context, s *Server, c *container) (int, error) {
	namespaces, err := c.namespacesOf()
	if err != nil {
		return 0, err
	}
	defer namespaces.Close()
	spec, err := s.describe(c)
	if err != nil {
		return 0, err
	}
	spec.Args = e.args
	if e.tty && !hasVariable(spec.Env, "TERM") {
		spec.Env = append(spec.Env, "TERM=xterm")
	}
	cmd := &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if c.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid() == cri.NamespaceMode_NODE {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // otherwise it dies with the container's PID namespace
	}
	streams, err := e.connect(cmd)
	if err != nil {
		return 0, err
	}
	defer streams.closeAll()
	var terminal *os.File
	p, err := spawn(cmd, namespaces, func() (err error) {
		if e.tty {
			if terminal, err = useTerminal(cmd); err != nil {
				return err
			}
		}
		return shim.Prepare(spec, cmd)
	})
	streams.closeChild()
	if e.tty && cmd.Stdin != nil {
		_ = cmd.Stdin.(*os.File).Close()
	}
	if err != nil {
		if terminal != nil {
			_ = terminal.Close()
		}
		return 0, fmt.Errorf("execute %q: %w", e.args, err)
	}
	stop := context.AfterFunc(ctx, func() { killGroup(p) })
	defer stop()
	if terminal != nil {
		e.relayTerminal(terminal, p)
	}
	<-p.done
	streams.drain(ctx)
	return p.exit, ctx.Err()
}

func hasVariable(env []string, name string) bool {
	return slices.ContainsFunc(env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// killGroup kills a command that has a session of its own, and what it started there.
func killGroup(p *process) {
	_ = unix.Kill(-p.pid, unix.SIGKILL) // gone already is as good
	p.kill()
}

// useTerminal gives cmd, which must be started by the calling thread, a terminal of the container.
func useTerminal(cmd *exec.Cmd) (*os.File, error) {
	master, slave, err := openTerminal("/dev")
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty = true
	return master, nil
}

// relayTerminal returns when everything that the terminal's users wrote has been passed on.
func (e execution) relayTerminal(terminal *os.File, p *process) {
	defer terminal.Close()
	if e.sizes != nil {
		go followSize(e.sizes, func(size unix.Winsize) error { return setSize(terminal, size) })
	}
	if e.stdin != nil {
		go func() { _, _ = io.Copy(terminal, e.stdin) }()
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if e.stdout != nil {
			_, _ = io.Copy(e.stdout, newTerminalReader(terminal))
		}
	}()
	<-p.done
	waitBriefly(copied)
}

// drainTime is how long output is waited for after a command's end: a background process may hold the stream open.
const drainTime = 500 * time.Millisecond

func waitBriefly(done <-chan struct{}) {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// ExecSync runs a command to its end, as exec probes and lifecycle hooks do.
func (r *runtimeService) ExecSync(ctx context.Context, req *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	c, err := r.mustContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	if len(req.GetCmd()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "the command is empty")
	}
	if req.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.GetTimeout())*time.Second)
		defer cancel()
	}
	stdout, stderr := &limitedBuffer{}, &limitedBuffer{}
	code, err := execution{args: req.GetCmd(), stdout: stdout, stderr: stderr}.run(ctx, r.Server, c)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out after %d s", req.GetCmd(), req.GetTimeout())
	}
	if err != nil {
		return nil, err
	}
	return &cri.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), ExitCode: int32(code)}, nil
}

// limitedBuffer keeps as much as a CRI message may hold beside another, and drops the rest.
type limitedBuffer struct{ bytes.Buffer }

// Write is io.Writer's; it never fails.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := maxMessage/2 - 1024 - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// exitError is how the streaming server learns an exit code.
func exitError(code int) error {
	if code == 0 {
		return nil
	}
	return utilexec.CodeExitError{Err: fmt.Errorf("exit code %d", code), Code: code}
}
