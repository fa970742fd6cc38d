package relay

import "golang.org/x/sys/unix"

// turn is how many reads a stream may do before others have their turn.
const turn = 16

// stream carries bytes one way.
type stream struct {
	from, to *side
	other    *stream // the other way
	held     []byte  // that the receiver did not take yet: a part of one of the worker's buffers
	buffer   []byte  // the whole of that buffer; nil: none
	pipe     pipe    // likewise, for spliced bytes
	inPipe   int
	bulk     bool // so much came at once that the next is spliced
	ended    bool // the sender will send no more
	finished bool // and the receiver knows
	carried  int64
}

// carry carries what it can; more says that there may be more to do at once. An error cuts the connection.
func (s *stream) carry(w *worker) (more bool, err error) {
	for range turn {
		if err := s.flush(w); err != nil {
			return false, err
		}
		switch {
		case len(s.held) > 0 || s.inPipe > 0:
			return false, nil // until the receiver is writable again
		case s.ended:
			s.finish()
			return false, nil
		case !s.from.readable || !s.to.writable:
			s.release(w)
			return false, nil
		}
		if err := s.fill(w); err != nil {
			return false, err
		}
	}
	return true, nil
}

// finish tells the receiver that no more will come. Where that holds for the other way too, closing will tell it.
func (s *stream) finish() {
	if !s.finished && !s.other.finished {
		shutdownWrite(s.to.fd)
	}
	s.finished = true
}

// fill reads from the sender.
func (s *stream) fill(w *worker) error {
	if s.bulk && (s.pipe != pipe{} || s.takePipe(w)) {
		n, errno := splice(s.from.fd, s.pipe.in, pipeSize)
		s.inPipe = max(n, 0)
		return s.filled(s.inPipe, errno, false)
	}
	n, errno := read(s.from.fd, w.buffer)
	n = max(n, 0)
	if err := s.filled(n, errno, n < len(w.buffer)); err != nil || n == 0 {
		return err
	}
	s.bulk = n == len(w.buffer)
	sent, err := s.send(w, w.buffer[:n])
	if err != nil || sent == n {
		return err
	}
	s.buffer = w.takeBuffer()
	s.held = s.buffer[:copy(s.buffer, w.buffer[sent:n])]
	return nil
}

func (s *stream) takePipe(w *worker) (ok bool) {
	s.pipe, ok = w.takePipe()
	return ok
}

// filled takes note of what reading gave. Where less came than there was room for, there is no more: the kernel will
// tell when that changes.
func (s *stream) filled(n int, errno unix.Errno, short bool) error {
	switch {
	case errno == unix.EAGAIN:
		s.from.readable = false
	case errno == unix.EINTR:
	case errno != 0:
		return errno
	case n == 0:
		s.ended = true
	case short && s.from.fin:
		s.ended = true
	case short && !s.from.ending:
		s.from.readable = false
	}
	s.carried += int64(n)
	return nil
}

// flush sends what is held.
func (s *stream) flush(w *worker) error {
	for len(s.held) > 0 && s.to.writable {
		n, err := s.send(w, s.held)
		if err != nil {
			return err
		}
		s.held = s.held[n:]
	}
	if len(s.held) == 0 && s.buffer != nil {
		w.giveBuffer(s.buffer)
		s.buffer, s.held = nil, nil
	}
	for s.inPipe > 0 && s.to.writable {
		n, errno := splice(s.pipe.out, s.to.fd, s.inPipe)
		switch errno {
		case 0:
			s.inPipe -= n
		case unix.EAGAIN:
			if err := s.to.block(w); err != nil {
				return err
			}
		case unix.EINTR:
		default:
			return errno
		}
	}
	return nil
}

// send writes to the receiver what it takes.
func (s *stream) send(w *worker, b []byte) (n int, err error) {
	n, errno := write(s.to.fd, b)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		n = 0
	default:
		return 0, errno
	}
	if n < len(b) {
		err = s.to.block(w)
	}
	return n, err
}

// release gives back what the stream does not need now. A pipe with bytes in it is of no use to others.
func (s *stream) release(w *worker) {
	if s.buffer != nil {
		w.giveBuffer(s.buffer)
		s.buffer, s.held = nil, nil
	}
	if s.pipe == (pipe{}) {
		return
	}
	if s.inPipe > 0 {
		s.pipe.close()
	} else {
		w.givePipe(s.pipe)
	}
	s.pipe, s.inPipe = pipe{}, 0
}
