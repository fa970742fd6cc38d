package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Names of the streams in a log file.
const (
	streamStdout = "stdout"
	streamStderr = "stderr"
)

// maxLogLine is the length in bytes beyond which a line is cut into partial ones, as with other runtimes.
const maxLogLine = 16 << 10

// output takes what a container writes to its log file, in the CRI format ("TIME STREAM F|P TEXT", KEP
// sig-node/1602), and to those who are attached.
type output struct {
	path string // empty: no log
	wg   sync.WaitGroup

	mu       sync.Mutex
	closed   bool                 // guarded by mu
	file     *os.File             // guarded by mu; nil without a log and at the end
	watchers map[*watcher]bool    // guarded by mu
	readers  map[string]io.Closer // guarded by mu; the runtime's ends of the pipes
}

// newOutput opens the log file; an empty path is no log.
func newOutput(path string) (*output, error) {
	o := &output{path: path, watchers: map[*watcher]bool{}, readers: map[string]io.Closer{}}
	return o, o.reopen()
}

// reopen continues in a new file after the old one was renamed.
func (o *output) reopen() error {
	if o.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.path), 0o755); err != nil {
		return fmt.Errorf("make the log's directory: %w", err)
	}
	file, err := os.OpenFile(o.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return file.Close()
	}
	old := o.file
	o.file = file
	if old == nil {
		return nil
	}
	return old.Close()
}

// copyFrom takes a stream to its end in the background. It closes r.
func (o *output) copyFrom(stream string, r io.ReadCloser) {
	o.mu.Lock()
	o.readers[stream] = r
	o.mu.Unlock()
	o.wg.Go(func() {
		defer r.Close()
		buf := make([]byte, maxLogLine)
		var pending []byte
		for {
			n, err := r.Read(buf)
			pending = o.write(stream, append(pending, buf[:n]...), buf[:n])
			if err != nil {
				break
			}
		}
		if len(pending) > 0 {
			o.log(stream, 'P', pending)
		}
	})
}

// write passes chunk on, logs the whole lines in pending and returns what is left of it.
func (o *output) write(stream string, pending, chunk []byte) []byte {
	o.mu.Lock()
	for w := range o.watchers {
		if !w.offer(stream, chunk) {
			delete(o.watchers, w)
		}
	}
	o.mu.Unlock()
	start := 0
	for i, b := range pending {
		switch {
		case b == '\n':
			o.log(stream, 'F', pending[start:i])
			start = i + 1
		case i-start == maxLogLine-1:
			o.log(stream, 'P', pending[start:i+1])
			start = i + 1
		}
	}
	return append([]byte(nil), pending[start:]...)
}

func (o *output) log(stream string, tag byte, text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return
	}
	line := make([]byte, 0, len(text)+len(time.RFC3339Nano)+len(stream)+5)
	line = time.Now().UTC().AppendFormat(line, "2006-01-02T15:04:05.000000000Z07:00")
	line = append(append(line, ' '), stream...)
	line = append(line, ' ', tag, ' ')
	line = append(append(line, text...), '\n')
	_, _ = o.file.Write(line) // a full disk must not stop the container
}

// wait returns when every stream has come to its end.
func (o *output) wait() { o.wg.Wait() }

// close ends the log and those who are attached.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for w := range o.watchers {
		w.end(nil)
	}
	clear(o.watchers)
	for _, r := range o.readers {
		_ = r.Close()
	}
	if o.file != nil {
		_ = o.file.Close()
		o.file = nil
	}
	o.closed = true
}

// watch passes everything from now on to the writers, either of which may be nil, until the container ends or a writer
// fails. The caller must end it by unwatch.
func (o *output) watch(stdout, stderr io.Writer) *watcher {
	w := &watcher{chunks: make(chan chunk, 256), ended: make(chan struct{}), writers: map[string]io.Writer{streamStdout: stdout, streamStderr: stderr}}
	go w.run()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watchers[w] = true
	return w
}

func (o *output) unwatch(w *watcher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.watchers[w] {
		delete(o.watchers, w)
		w.end(nil)
	}
}

// errSlow ends an attachment whose client does not read.
var errSlow = errors.New("the client did not read the container's output fast enough")

type chunk struct {
	stream string
	data   []byte
}

// watcher is somebody who is attached to a container's output. Its queue is closed once, by whoever removes it from
// output.watchers under output.mu.
type watcher struct {
	writers map[string]io.Writer
	chunks  chan chunk
	ended   chan struct{}
	err     error // set before chunks is closed, or by run before ended is closed
}

// offer never waits: a container must not stand still for a client. It reports whether the watcher stays.
func (w *watcher) offer(stream string, data []byte) bool {
	if len(data) == 0 || w.writers[stream] == nil {
		return true
	}
	select {
	case w.chunks <- chunk{stream, append([]byte(nil), data...)}:
		return true
	default:
		w.end(errSlow)
		return false
	}
}

func (w *watcher) end(err error) {
	w.err = err
	close(w.chunks)
}

func (w *watcher) run() {
	defer close(w.ended)
	for c := range w.chunks {
		if _, err := w.writers[c.stream].Write(c.data); err != nil {
			for range w.chunks { // until the container or the client ends it
			}
			return
		}
	}
}
