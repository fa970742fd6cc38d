package grpc

import (
	"errors"
	"io"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/http2"
	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/kernel/loop"
)

// Body is that of a request: the message.Stream itself, or what was kept of it.
type Body interface {
	Read() ([]byte, error)
	Trailer() message.Header
	Interrupt()
}

// sending is the task that carries a request's body to the server.
type sending struct {
	body  Body
	call  *http2.Call
	owner *loop.Task // who waits for the end
	done  bool
	err   error // of the client's side
}

func (s *sending) run(*loop.Task) {
	defer func() {
		s.done = true
		s.owner.Wake()
	}()
	for {
		p, err := s.body.Read()
		if errors.Is(err, io.EOF) {
			_ = s.call.End(s.body.Trailer())
			return
		}
		if err != nil {
			s.err = err
			s.call.Close() // without effect after an Interrupt: it is over then
			return
		}
		if s.call.Write(p) != nil {
			return // the response says why, or its absence
		}
	}
}

// resetter is a message.Stream that can be reset with the code that the server has reset it with: clients of gRPC tell by it whether
// the server has cancelled, or has too much to do.
type resetter interface{ Reset(http2.Code) }

// watch has the call end as soon as the client leaves, if the stream tells. The function that it returns ends that, and says whether
// it has.
func watch(stream message.Stream, call *http2.Call) (left func() bool) {
	w, ok := stream.(interface{ Watch(gone func()) })
	if !ok {
		return func() bool { return false }
	}
	gone := false
	w.Watch(func() {
		gone = true
		call.Close()
	})
	return func() bool {
		w.Watch(nil)
		return gone
	}
}

// Result is what has become of a call.
type Result struct {
	// Received is how many bytes of the response's body have come.
	Received int64
	// Responded is true where the client has got a head of a response, or a reset: nothing else can be answered any more.
	Responded bool
	// Client is true where the error is the client's, or the way to it.
	Client bool
	Err    error
}

// Relay carries the body of a request to the server, and its response to the client, both at the same time, until both are done.
// head is called with the response's head before that is sent, to change it. A stream whose response cannot become whole is aborted;
// one that the server resets is reset with the same code.
func Relay(t *loop.Task, body Body, stream message.Stream, call *http2.Call, head func(*message.Response)) Result {
	s := &sending{body: body, call: call, owner: t}
	if stream.Request().Length != 0 {
		t.Loop().Go(s.run)
	} else {
		s.done = true
		_ = call.End(nil)
	}
	left := watch(stream, call)
	result := receive(stream, call, head)
	if left() && result.Err != nil {
		result.Client = true
	}
	call.Close()
	var reset http2.ResetError
	switch r, ok := stream.(resetter); {
	case ok && !result.Client && errors.As(result.Err, &reset) && !reset.Refused():
		r.Reset(reset.Code)
		result.Responded = true
	case result.Err != nil && result.Responded:
		stream.Abort()
	}
	if !s.done {
		body.Interrupt()
	}
	interrupted := !s.done
	for !s.done {
		t.Park(time.Time{})
	}
	if s.err != nil && result.Err != nil && !interrupted {
		result.Err, result.Client = s.err, true
	}
	return result
}

// receive carries the response to the client.
func receive(stream message.Stream, call *http2.Call, head func(*message.Response)) (result Result) {
	r, err := call.Response()
	if err != nil {
		result.Err = err
		return result
	}
	head(r)
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
