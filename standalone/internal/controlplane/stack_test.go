package controlplane

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStackStopsInReverse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newStack(ctx)
	var stopped []string // written by one part after the other
	for _, name := range []string{"first", "second", "third"} {
		s.start(name, func(ctx context.Context) error {
			<-ctx.Done()
			stopped = append(stopped, name)
			return ctx.Err()
		})
	}
	cancel()
	if s.wait(nil) {
		t.Error("wait says that nothing is ready")
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if diff := cmp.Diff([]string{"third", "second", "first"}, stopped); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestStackFailsWithItsPart(t *testing.T) {
	failure := errors.New("broken")
	for name, test := range map[string]struct {
		end  error
		want error
	}{
		"with an error": {failure, failure},
		"silently":      {nil, errEnded},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t.Context())
			s.start("good", func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
			s.start("bad", func(context.Context) error { return test.end })
			if s.wait(nil) {
				t.Error("wait says that all is well")
			}
			if err := s.stop(); !errors.Is(err, test.want) {
				t.Errorf("stop: %v; want %v", err, test.want)
			}
		})
	}
}

func TestStackIsReady(t *testing.T) {
	s := newStack(t.Context())
	ready := make(chan struct{})
	s.start("part", func(ctx context.Context) error {
		close(ready)
		<-ctx.Done()
		return nil
	})
	if !s.wait(ready) {
		t.Error("not ready")
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
