package relay

import "golang.org/x/sys/unix"

// pipeSize is how much a stream is spliced at once; the kernel may give less.
const pipeSize = 256 << 10

// pipe is what bytes are spliced through; the zero pipe is none.
type pipe struct{ in, out int }

func (p pipe) close() {
	closeFD(p.in)
	closeFD(p.out)
}

// takePipe returns an empty pipe, false if there can be none.
func (w *worker) takePipe() (pipe, bool) {
	if n := len(w.pipes); n > 0 {
		p := w.pipes[n-1]
		w.pipes = w.pipes[:n-1]
		return p, true
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return pipe{}, false
	}
	// What the kernel gives without is enough to work.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return pipe{in: fds[1], out: fds[0]}, true
}

// givePipe takes back an empty pipe.
func (w *worker) givePipe(p pipe) {
	if len(w.pipes) < spares {
		w.pipes = append(w.pipes, p)
		return
	}
	p.close()
}
