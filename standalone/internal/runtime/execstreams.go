package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// execStreams are the pipes between a command and its client.
type execStreams struct {
	child  []*os.File // the command's ends
	ours   []*os.File
	copies sync.WaitGroup // of the command's output
}

// connect makes a pipe for every stream that the client wants; a command with a terminal has none.
func (e execution) connect(cmd *exec.Cmd) (*execStreams, error) {
	s := &execStreams{}
	if e.tty {
		return s, nil
	}
	if e.stdin != nil {
		r, w, err := s.pipe()
		if err != nil {
			return nil, err
		}
		s.child = append(s.child, r)
		cmd.Stdin = r
		go func() {
			_, _ = io.Copy(w, e.stdin)
			_ = w.Close() // the client's half-close, passed on
		}()
	}
	for _, out := range []struct {
		to  io.Writer
		set func(*os.File)
	}{
		{e.stdout, func(f *os.File) { cmd.Stdout = f }}, {e.stderr, func(f *os.File) { cmd.Stderr = f }},
	} {
		if out.to == nil {
			continue
		}
		r, w, err := s.pipe()
		if err != nil {
			return nil, err
		}
		s.child = append(s.child, w)
		out.set(w)
		s.copies.Go(func() { _, _ = io.Copy(out.to, r) })
	}
	return s, nil
}

func (s *execStreams) pipe() (r, w *os.File, err error) {
	r, w, err = os.Pipe()
	if err != nil {
		s.closeAll()
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	s.ours = append(s.ours, r, w)
	return r, w, nil
}

// closeChild closes the command's ends once it has its own copies.
func (s *execStreams) closeChild() {
	for _, f := range s.child {
		_ = f.Close()
	}
}

// drain waits for output that is on its way.
func (s *execStreams) drain(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.copies.Wait()
	}()
	if ctx.Err() == nil {
		waitBriefly(done)
	}
}

// closeAll ends the copies.
func (s *execStreams) closeAll() {
	for _, f := range s.ours {
		_ = f.Close()
	}
}
