package quarantine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Outcome is what a probe of an endpoint met.
type Outcome string

// The outcomes.
const (
	Answered    Outcome = "answered"    // the end of the probe's data was answered: with an end, a reset, or data
	Mute        Outcome = "mute"        // connected, and then nothing: a process that hangs, or does not mind a half-closed connection
	Refused     Outcome = "refused"     // nobody listens
	Unreachable Outcome = "unreachable" // no answer at all
	Unknown     Outcome = "unknown"     // the probe itself failed, or was late
)

// Connected reports whether the connection was accepted.
func (o Outcome) Connected() bool { return o == Answered || o == Mute }

// lateness is by how much a probe may be late before its verdict counts for nothing: then this process did not run, and
// it, not the endpoint, may have missed the answer.
const lateness = 300 * time.Millisecond

// probe connects to an endpoint, says that nothing will be said, and waits for any sign of the process behind it. A live
// server that reads an end before a request hangs up, unless it has greeted already; one that was stopped cannot, although
// its kernel goes on to accept connections for it.
//
// It waits probePatience to be connected, and until wait has passed for an answer.
func (w *Watch) probe(ctx context.Context, endpoint netip.AddrPort, wait time.Duration) Outcome {
	start := time.Now()
	outcome := w.meet(ctx, endpoint, start.Add(wait))
	if ctx.Err() != nil || outcome != Answered && time.Since(start) > wait+lateness {
		return Unknown
	}
	return outcome
}

// meet connects, and waits for an answer until the deadline.
func (w *Watch) meet(ctx context.Context, endpoint netip.AddrPort, deadline time.Time) Outcome {
	bounded, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	conn, err := w.deps.Dial(bounded, "tcp", endpoint.String())
	if err != nil {
		return failed(err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return listen(conn, deadline)
}

// failed says what the failure of a connection attempt means.
func failed(err error) Outcome {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ETIMEDOUT),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Unreachable
	case errors.Is(err, syscall.ECONNRESET):
		return Answered
	}
	return Unknown
}

// listen sends an end and waits for something to come back, and closes the connection.
func listen(conn net.Conn, deadline time.Time) Outcome {
	defer conn.Close()
	if closer, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := closer.CloseWrite(); err != nil {
			return Answered // reset already
		}
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return Unknown
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return Answered
	}
	// A reset: nothing of this connection shall wait in the queue of a server that is stopped.
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return Mute
}
