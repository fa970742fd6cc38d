package native

import (
	"io"
	"sync/atomic"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

const (
	// logChunk is how many bytes of the log a loop collects before it hands them on; it does so each second, too.
	logChunk = 32 << 10
	// logChunks is how many of them may wait to be written. What is more is dropped: a log that cannot be written stops no request.
	logChunks = 64
)

// accessLog writes the log of all loops, by a goroutine of its own.
type accessLog struct {
	to      io.Writer
	chunks  chan []byte
	done    chan struct{}
	dropped atomic.Uint64 // lines
}

// newAccessLog returns a log that is written to w; nil for nil.
func newAccessLog(w io.Writer) *accessLog {
	if w == nil {
		return nil
	}
	return &accessLog{to: w, chunks: make(chan []byte, logChunks), done: make(chan struct{})}
}

// start starts to write, until close is called.
func (l *accessLog) start() {
	if l != nil {
		go l.write()
	}
}

func (l *accessLog) write() {
	defer close(l.done)
	for chunk := range l.chunks {
		// Where it cannot be written there is nobody to be told.
		_, _ = l.to.Write(chunk)
	}
}

// close writes what is left; no loop may run any more.
func (l *accessLog) close() {
	if l != nil {
		close(l.chunks)
		<-l.done
	}
}

// logLines are what a loop has collected.
type logLines struct {
	buf   []byte
	lines uint64
}

// flush hands on what was collected.
func (l *logLines) flush(to *accessLog) {
	if to == nil || l.lines == 0 {
		return
	}
	chunk := append([]byte(nil), l.buf...)
	select {
	case to.chunks <- chunk:
	default:
		to.dropped.Add(l.lines)
	}
	l.buf, l.lines = l.buf[:0], 0
}

// log writes the line of the request, if it is to be logged.
func (e *exchange) log() {
	to := e.w.engine.access
	if to == nil || !e.logged(&e.generation.table.Global.Log) {
		return
	}
	l := &e.w.lines
	l.buf = e.generation.log.append(e, l.buf)
	if l.lines++; len(l.buf) >= logChunk {
		l.flush(to)
	}
}

func (e *exchange) logged(c *settings.Log) bool {
	l := e.x.Location
	switch {
	case c.Off:
		return false
	case c.SkipPaths != nil && c.SkipPaths.MatchString(e.request.Path):
		return false
	case l == nil:
		return true
	case l.Ingress == (model.Ref{}) && !c.DefaultBackend:
		return false
	}
	return !l.Settings.NoAccessLog
}
