package grpc

import (
	"errors"
	"io"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Interrupter is a message.Stream whose Read can be ended although the client has more to send. Without it, such an exchange can only
// be aborted.
type Interrupter interface{ Interrupt() }

// sending is the task that carries a request's body to the server.
type sending struct {
	stream message.Stream
	call   *http2.Call
	owner  *loop.Task // who waits for the end
	done   bool
	err    error // of the client's side
	sent   int64
}

func (s *sending) run(*loop.Task) {
	defer func() {
		s.done = true
		s.owner.Wake()
	}()
	for {
		p, err := s.stream.Read()
		if errors.Is(err, io.EOF) {
			_ = s.call.End(s.stream.Trailer())
			return
		}
		if err != nil {
			s.err = err
			s.call.Close() // without effect after an Interrupt: it is over then
			return
		}
		s.sent += int64(len(p))
		if s.call.Write(p) != nil {
			return // the response says why, or its absence
		}
	}
}

// Result is what has become of a call.
type Result struct {
	// Sent and Received are bytes of bodies, Sent what was taken from the client.
	Sent, Received int64
	// Responded is true where the client has got a head of a response: nothing else can be answered any more.
	Responded bool
	// Client is true where the error is the client's, or the way to it.
	Client bool
	Err    error
}

// Relay carries the body of a request to the server, and its response to the client, both at the same time, until both are done.
// head is called with the response's head before that is sent, to change it.
func Relay(t *loop.Task, stream message.Stream, call *http2.Call, head func(*message.Response) error) Result {
	s := &sending{stream: stream, call: call, owner: t}
	if stream.Request().Length != 0 {
		t.Loop().Go(s.run)
	} else {
		s.done = true
	}
	result := receive(stream, call, head)
	call.Close()
	switch i, ok := stream.(Interrupter); {
	case result.Err != nil && result.Responded, !s.done && !ok:
		stream.Abort()
	case !s.done:
		i.Interrupt()
	}
	for !s.done {
		t.Park(time.Time{})
	}
	if s.err != nil && result.Err != nil {
		result.Err, result.Client = s.err, true
	}
	result.Sent = s.sent
	return result
}

// receive carries the response to the client.
func receive(stream message.Stream, call *http2.Call, head func(*message.Response) error) (result Result) {
	r, err := call.Response()
	if err == nil && head != nil {
		err = head(r)
	}
	if err != nil {
		result.Err = err
		return result
	}
	result.Responded = true
	end := call.Ended() && len(call.Trailer()) == 0
	if err := stream.Respond(r, end); err != nil || end {
		result.Err, result.Client = err, err != nil
		return result
	}
	for {
		p, err := call.Read()
		if errors.Is(err, io.EOF) {
			err = stream.End(call.Trailer())
			result.Err, result.Client = err, err != nil
			return result
		}
		if err != nil {
			result.Err = err
			return result
		}
		result.Received += int64(len(p))
		if err := stream.Write(p); err != nil {
			result.Err, result.Client = err, true
			return result
		}
		if err := stream.Flush(); err != nil {
			result.Err, result.Client = err, true
			return result
		}
	}
}
