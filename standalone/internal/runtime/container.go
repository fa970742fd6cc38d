package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/shim"
)

// Reasons of a container's end, as other runtimes and the kubelet know them.
const (
	reasonCompleted  = "Completed"
	reasonError      = "Error"
	reasonStartError = "StartError"
)

// startErrorCode is the exit code of a container whose command could not be executed, as with containerd.
const startErrorCode = 128

// container is one process and what it starts, with a file system view of its own.
type container struct {
	id      string
	dir     string
	sandbox *sandbox
	config  *cri.ContainerConfig
	image   string // as the pod's author wrote it
	entry   Image
	args    []string
	created time.Time
	output  *output
	ended   chan struct{} // closed when the container is in its last state

	mu       sync.Mutex
	state    cri.ContainerState // guarded by mu
	started  time.Time          // guarded by mu
	finished time.Time          // guarded by mu
	exit     int                // guarded by mu
	reason   string             // guarded by mu
	message  string             // guarded by mu
	process  *process           // guarded by mu; nil before the start
	terminal *os.File           // guarded by mu; the runtime's side of a terminal
	stdin    *os.File           // guarded by mu; the runtime's end of the pipe
}

// newContainer decides what the container executes and makes its directories; it starts nothing.
func (s *Server) newContainer(sb *sandbox, config *cri.ContainerConfig) (*container, error) {
	image := config.GetImage().GetUserSpecifiedImage()
	if image == "" {
		image = imageName(config.GetImage().GetImage())
	}
	c := &container{
		id: newID(), sandbox: sb, config: config, image: image, created: time.Now(), ended: make(chan struct{}),
		state: cri.ContainerState_CONTAINER_CREATED,
	}
	c.entry, _ = s.config.Images.Lookup(image)
	if c.args = c.command(); len(c.args) == 0 {
		s.rememberMissing(sb.config.GetMetadata().GetUid(), image)
		return nil, fmt.Errorf("image %s %w", image, ErrNoCommand)
	}
	c.dir = filepath.Join(s.config.Root, containersDir, c.id)
	for _, name := range []string{"layers/upper", "layers/work", "merged"} {
		if err := os.MkdirAll(filepath.Join(c.dir, name), 0o755); err != nil {
			return nil, fmt.Errorf("make the container's directory: %w", err)
		}
	}
	logPath := ""
	if sb.config.GetLogDirectory() != "" && config.GetLogPath() != "" {
		logPath = filepath.Join(sb.config.GetLogDirectory(), config.GetLogPath())
	}
	var err error
	if c.output, err = newOutput(logPath); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[c.id] = c
	return c, nil
}

// command combines the image's command and arguments with the container's, as an image's ENTRYPOINT and CMD would be.
func (c *container) command() []string {
	command, args := c.config.GetCommand(), c.config.GetArgs()
	if len(command) == 0 {
		command = c.entry.Command
		if len(args) == 0 {
			args = c.entry.Args
		}
	}
	if len(command) == 0 {
		return nil
	}
	return append(append([]string{}, command...), args...)
}

// start executes the command. A container starts once.
func (s *Server) start(ctx context.Context, c *container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != cri.ContainerState_CONTAINER_CREATED {
		return fmt.Errorf("container %s was started before", c.id)
	}
	l, cleanup, err := s.prepare(c)
	if err != nil {
		return c.failed(err)
	}
	defer cleanup()
	p, warnings, err := l.start(ctx)
	for _, w := range warnings {
		s.config.Log.Warn("container starts with a limitation", "pod", podName(c.sandbox.config), "container", c.name(), "problem", w)
	}
	if err != nil {
		return c.failed(err)
	}
	c.process, c.started, c.state = p, time.Now(), cri.ContainerState_CONTAINER_RUNNING
	go func() {
		<-p.done
		if !l.newPID {
			// Otherwise it was the first of its PID namespace, with which the kernel has killed the others.
			killInside(c.dir+"/", s.config.Log)
		}
		c.finish()
		s.config.Log.Info("container ended", "pod", podName(c.sandbox.config), "container", c.name(), "exitCode", p.exit)
	}()
	return nil
}

func (c *container) name() string { return c.config.GetMetadata().GetName() }

// failed records that the container cannot start. It needs c.mu.
func (c *container) failed(err error) error {
	c.state = cri.ContainerState_CONTAINER_EXITED
	c.started, c.finished = time.Now(), time.Now()
	c.exit, c.reason, c.message = startErrorCode, reasonStartError, err.Error()
	c.closeInput()
	c.output.close()
	close(c.ended)
	return fmt.Errorf("start container %s: %w", c.name(), err)
}

// finish records the container's end when its processes are dead.
func (c *container) finish() {
	c.output.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.finished, c.exit = cri.ContainerState_CONTAINER_EXITED, time.Now(), c.process.exit
	c.reason = reasonCompleted
	if c.exit != 0 {
		c.reason = reasonError
	}
	c.closeInput()
	c.output.close()
	close(c.ended)
}

// closeInput needs c.mu.
func (c *container) closeInput() {
	for _, f := range []**os.File{&c.stdin, &c.terminal} {
		if *f != nil {
			_ = (*f).Close()
			*f = nil
		}
	}
}

// running returns the first process if the container runs.
func (c *container) running() (*process, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process, c.state == cri.ContainerState_CONTAINER_RUNNING
}

// stop sends the stop signal and, if the container has not ended after grace, SIGKILL. It returns after the end.
func (c *container) stop(ctx context.Context, grace time.Duration) error {
	p, ok := c.running()
	if !ok {
		return nil
	}
	if grace > 0 {
		if err := p.signal(stopSignal(c.config.GetStopSignal())); err != nil {
			return err
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	p.kill()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill returns after the container's end.
func (c *container) kill() {
	if p, ok := c.running(); ok {
		p.kill()
		<-c.ended
	}
}

// removeContainer kills the container, if need be, and forgets it. Its log file is the kubelet's.
func (s *Server) removeContainer(c *container) error {
	c.kill()
	c.output.close()
	s.mu.Lock()
	delete(s.containers, c.id)
	s.mu.Unlock()
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove container %s: %w", c.name(), err)
	}
	return nil
}

// root is the container's file system.
func (s *Server) root(c *container) shim.Root {
	r := shim.Root{
		Lower: c.entry.Root, Upper: filepath.Join(c.dir, "layers/upper"), Work: filepath.Join(c.dir, "layers/work"),
		Merged: filepath.Join(c.dir, "merged"), ReadOnly: c.config.GetLinux().GetSecurityContext().GetReadonlyRootfs(),
	}
	if r.Lower == "" {
		r.Lower, r.Host, r.Hide = "/", true, s.config.Hide
	}
	return r
}
