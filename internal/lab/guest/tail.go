package guest

import (
	"io"
	"os"
	"time"
)

// tail copies a file that grows.
type tail struct {
	stopping chan struct{}
	stopped  chan struct{}
}

// follow copies what path has and gets, to to, until stop. The file need not exist yet.
func follow(path string, to io.Writer) *tail {
	t := &tail{stopping: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(t.stopped)
		if to == nil {
			return
		}
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		var offset int64
		for last := false; !last; {
			select {
			case <-t.stopping:
				last = true
			case <-ticker.C:
			}
			offset += copyFrom(path, offset, to)
		}
	}()
	return t
}

// copyFrom copies what a file has from offset on, and returns how much that was.
func copyFrom(path string, offset int64, to io.Writer) int64 {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return 0
	}
	n, _ := io.Copy(to, file)
	return n
}

// stop copies the rest and ends.
func (t *tail) stop() {
	close(t.stopping)
	<-t.stopped
}
