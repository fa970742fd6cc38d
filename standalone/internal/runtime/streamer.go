package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/nsthread"
)

// Exec returns the URL on which a client runs a command and talks to it.
func (r *runtimeService) Exec(_ context.Context, req *cri.ExecRequest) (*cri.ExecResponse, error) {
	if _, err := r.mustRun(req.GetContainerId()); err != nil {
		return nil, err
	}
	return r.streaming.GetExec(req)
}

// Attach returns the URL on which a client talks to a container's first process.
func (r *runtimeService) Attach(_ context.Context, req *cri.AttachRequest) (*cri.AttachResponse, error) {
	if _, err := r.mustRun(req.GetContainerId()); err != nil {
		return nil, err
	}
	return r.streaming.GetAttach(req)
}

// PortForward returns the URL on which a client connects to ports of a pod.
func (r *runtimeService) PortForward(_ context.Context, req *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	if _, ok := r.findSandbox(req.GetPodSandboxId()); !ok {
		return nil, fmt.Errorf("pod sandbox %q is not known", req.GetPodSandboxId())
	}
	return r.streaming.GetPortForward(req)
}

func (s *Server) mustRun(id string) (*container, error) {
	c, err := s.mustContainer(id)
	if err != nil {
		return nil, err
	}
	if _, ok := c.running(); !ok {
		return nil, fmt.Errorf("container %s does not run", c.name())
	}
	return c, nil
}

// streamer serves the URLs.
type streamer struct{ *Server }

// Exec runs a command until it ends or the client goes away.
func (s streamer) Exec(ctx context.Context, id string, args []string, in io.Reader, out, errOut io.WriteCloser, tty bool, sizes <-chan remotecommand.TerminalSize) error {
	c, err := s.mustRun(id)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("the command is empty")
	}
	e := execution{args: args, tty: tty, sizes: sizes}
	// An interface that holds a nil stream is not nil.
	if in != nil {
		e.stdin = in
	}
	if out != nil {
		e.stdout = out
	}
	if errOut != nil {
		e.stderr = errOut
	}
	code, err := e.run(ctx, s.Server, c)
	if err != nil {
		return err
	}
	return exitError(code)
}

// Attach passes streams on until the container ends or the client goes away.
func (s streamer) Attach(ctx context.Context, id string, in io.Reader, out, errOut io.WriteCloser, _ bool, sizes <-chan remotecommand.TerminalSize) error {
	c, err := s.mustRun(id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	terminal, stdin := c.terminal, c.stdin
	c.mu.Unlock()
	if terminal != nil {
		go followSize(sizes, func(size unix.Winsize) error { return setSize(terminal, size) })
	}
	if in != nil && stdin == nil && terminal == nil {
		return fmt.Errorf("container %s has no standard input: set stdin: true in the pod", c.name())
	}
	w := c.output.watch(writerOrNil(out), writerOrNil(errOut)) // before the input, which may be answered
	defer c.output.unwatch(w)
	gone := make(chan struct{})
	if in != nil {
		go func() {
			defer close(gone)
			c.feed(in, stdin, terminal)
		}()
	}
	select {
	case <-w.ended:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-endOf(gone, out, errOut):
		return nil
	}
}

// endOf is the end of the input for a client that wants no output.
func endOf(gone <-chan struct{}, out, errOut io.WriteCloser) <-chan struct{} {
	if out == nil && errOut == nil {
		return gone
	}
	return nil
}

func writerOrNil(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// feed copies a client's input; its end is the container's if the pod has stdinOnce.
func (c *container) feed(in io.Reader, stdin, terminal *os.File) {
	to := stdin
	if terminal != nil {
		to = terminal
	}
	_, _ = io.Copy(to, in)
	if c.config.GetStdinOnce() && stdin != nil {
		_ = stdin.Close()
	}
}

// PortForward connects to a port on the pod's loopback interface.
func (s streamer) PortForward(ctx context.Context, id string, port int32, stream io.ReadWriteCloser) error {
	sb, ok := s.findSandbox(id)
	if !ok {
		return fmt.Errorf("pod sandbox %q is not known", id)
	}
	sb.mu.Lock()
	stopped, namespaces := sb.stopped, nsthread.Namespaces{Net: sb.namespaces.Net}
	sb.mu.Unlock()
	if stopped {
		return fmt.Errorf("pod %s is stopped", podName(sb.config))
	}
	conn, err := dialLoopback(ctx, namespaces, port)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.CloseWrite()
	})
	_, err = io.Copy(stream, conn)
	_ = stream.Close() // ends the other direction: the pod has nothing more to say
	wg.Wait()
	return err
}

// dialLoopback tries both IP families. The socket belongs to the namespace in which it was made, whoever uses it.
func dialLoopback(ctx context.Context, namespaces nsthread.Namespaces, port int32) (*net.TCPConn, error) {
	var conn net.Conn
	err := namespaces.Do(func() error {
		var errs []error
		for _, addr := range []string{"127.0.0.1", "::1"} {
			var dialer net.Dialer
			var err error
			if conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(addr, strconv.Itoa(int(port)))); err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return nil, fmt.Errorf("connect to port %d of the pod: %w", port, err)
	}
	return conn.(*net.TCPConn), nil
}
