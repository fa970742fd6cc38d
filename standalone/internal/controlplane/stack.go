package controlplane

import (
	"context"
	"errors"
	"fmt"
)

// errEnded is the failure of a part that returned although nobody stopped it.
var errEnded = errors.New("ended unasked")

// part is a running part of a stack.
type part struct {
	cancel context.CancelFunc
	done   chan error
}

// stack is a list of parts that are started in order and stopped in reverse. The end of any is a failure of all.
type stack struct {
	outer  context.Context
	parts  []part
	failed chan error // holds the first unasked end of a part
}

// newStack returns an empty stack, to be stopped when the context ends.
func newStack(ctx context.Context) *stack {
	return &stack{outer: ctx, failed: make(chan error, 1)}
}

// start runs a part. Its context ends only when all that were started after it have ended.
func (s *stack) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.outer))
	done := make(chan error, 1)
	s.parts = append(s.parts, part{cancel: cancel, done: done})
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errEnded
			}
			select {
			case s.failed <- fmt.Errorf("%s: %w", name, err):
			default: // another failed before
			}
			err = nil
		}
		done <- err
	}()
}

// wait returns true when ready is closed, and false when a part has failed or the stack is to stop.
func (s *stack) wait(ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case err := <-s.failed:
		s.failed <- err
		return false
	case <-s.outer.Done():
		return false
	}
}

// stop ends the parts, the last one first, and returns the failure that ended the stack, if any.
func (s *stack) stop() error {
	var errs []error
	select {
	case err := <-s.failed:
		errs = append(errs, err)
	default:
	}
	for i := len(s.parts) - 1; i >= 0; i-- {
		s.parts[i].cancel()
		if err := <-s.parts[i].done; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
