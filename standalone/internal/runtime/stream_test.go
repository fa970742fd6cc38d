package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stream talks to a URL of the runtime as kubectl does through the API server and the kubelet.
func (c *client) stream(address string, options remotecommand.StreamOptions) error {
	c.t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		c.t.Fatal(err)
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, target)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	return executor.StreamWithContext(ctx, options)
}

// attach sends input to a container and returns when its output is what it has said until the container ends.
func (c *client) attach(id, input string) string {
	c.t.Helper()
	resp, err := c.Attach(c.t.Context(), &cri.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		c.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	options := remotecommand.StreamOptions{Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errOut}
	if err := c.stream(resp.GetUrl(), options); err != nil {
		c.t.Fatal(err)
	}
	return out.String()
}

func TestExecSync(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "exec sleep 1000", func(c *cri.ContainerConfig) {
		c.Envs = []*cri.KeyValue{{Key: "COLOR", Value: []byte("blue")}}
		c.WorkingDir = "/made/up"
	})
	resp, err := p.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo $COLOR; pwd; echo oops >&2; exit 5"}})
	if err != nil {
		t.Fatal(err)
	}
	if string(resp.GetStdout()) != "blue\n/made/up\n" || string(resp.GetStderr()) != "oops\n" || resp.GetExitCode() != 5 {
		t.Errorf("%v", resp)
	}
	_, err = p.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "987651"}, Timeout: 1})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("after the time-out: %v", err)
	}
	if left := processes("987651"); len(left) > 0 {
		t.Errorf("the command that timed out still runs: %v", left)
	}
	if _, err := p.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"no-such-program"}}); err == nil {
		t.Error("a command that does not exist is no error")
	}
}

func TestExecStreams(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "exec sleep 1000", nil)
	resp, err := p.Exec(t.Context(), &cri.ExecRequest{
		ContainerId: id, Cmd: []string{"sh", "-c", "cat; echo err >&2; exit 9"}, Stdin: true, Stdout: true, Stderr: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	err = p.stream(resp.GetUrl(), remotecommand.StreamOptions{Stdin: strings.NewReader("to the end"), Stdout: &stdout, Stderr: &stderr})
	var exit utilexec.CodeExitError
	if !errors.As(err, &exit) || exit.Code != 9 {
		t.Errorf("error %v, want exit code 9", err)
	}
	if stdout.String() != "to the end" || stderr.String() != "err\n" {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

// sizes is a client's window.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

func TestExecTerminal(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "exec sleep 1000", nil)
	script := "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.01; done; tty; stty size; echo $TERM"
	resp, err := p.Exec(t.Context(), &cri.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Stdin: true, Stdout: true, Tty: true})
	if err != nil {
		t.Fatal(err)
	}
	window := make(sizes, 1)
	window <- remotecommand.TerminalSize{Width: 77, Height: 33}
	defer close(window)
	stdin, hold := io.Pipe()
	defer hold.Close()
	var out bytes.Buffer
	if err := p.stream(resp.GetUrl(), remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Tty: true, TerminalSizeQueue: window}); err != nil {
		t.Fatal(err)
	}
	if out.String() != "/dev/pts/0\r\n33 77\r\nxterm\r\n" {
		t.Errorf("output %q", out.String())
	}
}

func TestAttach(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "read line; echo got $line; cat", func(c *cri.ContainerConfig) { c.Stdin, c.StdinOnce = true, true })
	if got := p.attach(id, "one\ntwo\n"); got != "got one\ntwo\n" {
		t.Errorf("output %q", got)
	}
	if s := p.ended(id); s.GetExitCode() != 0 {
		t.Errorf("status %v", s)
	}
}

func TestAttachTerminal(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "tty; read line; echo got $line", func(c *cri.ContainerConfig) { c.Stdin, c.Tty = true, true })
	resp, err := p.Attach(t.Context(), &cri.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Tty: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.stream(resp.GetUrl(), remotecommand.StreamOptions{Stdin: strings.NewReader("one\n"), Stdout: &out, Tty: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "got one\r\n") {
		t.Errorf("output %q", out.String())
	}
	if got := p.log("main"); !strings.Contains(got, "stdout F /dev/console") {
		t.Errorf("the container has no terminal: %q", got)
	}
}

func TestPortForward(t *testing.T) {
	p := startServer(t, "").run("web", nil)
	p.serve("tcp", 8080, "web")
	resp, err := p.PortForward(t.Context(), &cri.PortForwardRequest{PodSandboxId: p.id})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(resp.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := mustAsk(t, "tcp", "127.0.0.1:"+strconv.Itoa(int(ports[0].Local))); !strings.HasPrefix(got, "web ") {
			t.Errorf("answer %q", got)
		}
	}
	close(stop)
	<-ended
}
