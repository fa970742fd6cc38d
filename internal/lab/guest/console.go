package guest

import (
	"io"
	"strings"
	"sync"
)

// consoleTail is how much of the console is kept, in bytes.
const consoleTail = 8 << 10

// console keeps the end of what is written to it.
type console struct {
	mu   sync.Mutex
	copy io.Writer // receives everything, if not nil
	last []byte    // guarded by mu
}

// Write implements io.Writer. It never fails, as that would end the guest.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = append(c.last, p...)
	if extra := len(c.last) - consoleTail; extra > 0 {
		c.last = append(c.last[:0], c.last[extra:]...)
	}
	if c.copy != nil {
		_, _ = c.copy.Write(p)
	}
	return len(p), nil
}

// tail returns the last lines, without the carriage returns of a terminal.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(string(c.last), "\r", "")
}
