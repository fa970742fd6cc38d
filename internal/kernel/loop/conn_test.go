package loop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

func echo(_ *Task, c *Conn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }

func TestEcho(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, echo)
	sent := make([]byte, 8<<20)
	_, _ = rand.Read(sent)
	do(t, l, func(task *Task) {
		c, err := task.Dial(s.Addr(), time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		l.Go(func(*Task) { // writes while the other one reads
			if _, err := c.Write(sent); err != nil {
				t.Error(err)
			}
			_ = c.CloseWrite()
		})
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(sent), err)
		}
	})
}

func TestWriteSlowReader(t *testing.T) {
	l := start(t, Config{})
	sent := make([]byte, 4<<20)
	_, _ = rand.Read(sent)
	tests := map[string]func(c *Conn) error{
		"write": func(c *Conn) error { _, err := c.Write(sent); return err },
		"both at once": func(c *Conn) error {
			return c.Write2(sent[:1<<20], sent[1<<20:])
		},
		"queued": func(c *Conn) error {
			c.Queue()
			for i := 0; i < len(sent); i += 1 << 18 {
				if _, err := c.Write(sent[i : i+1<<18]); err != nil {
					return err
				}
			}
			return c.Flush()
		},
	}
	for name, send := range tests {
		t.Run(name, func(t *testing.T) {
			s := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) {
				if err := send(c); err != nil {
					t.Error(err)
				}
			})
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes of %d: %v", len(got), len(sent), err)
			}
		})
	}
}

func TestDeadlines(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, func(task *Task, _ *Conn) { task.Park(time.Time{}) })
	big := make([]byte, 16<<20)
	tests := map[string]func(c *Conn) error{
		"read timeout": func(c *Conn) error {
			c.SetReadTimeout(30 * time.Millisecond)
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"read deadline": func(c *Conn) error {
			_ = c.SetDeadline(l.Now().Add(30 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"a deadline that has passed": func(c *Conn) error {
			_ = c.SetReadDeadline(l.Now().Add(-time.Hour))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"the deadline of one that waits": func(c *Conn) error {
			c.SetReadTimeout(time.Hour)
			l.Go(func(*Task) { _ = c.SetReadDeadline(l.Now()) })
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"write timeout": func(c *Conn) error {
			c.SetWriteTimeout(30 * time.Millisecond)
			_, err := c.Write(big)
			return err
		},
		"flush deadline": func(c *Conn) error {
			c.Queue()
			_ = c.SetWriteDeadline(l.Now().Add(30 * time.Millisecond))
			if _, err := c.Write(big); err != nil {
				return err
			}
			return c.Flush()
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			do(t, l, func(task *Task) {
				c, err := task.Dial(s.Addr(), time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				var timeout net.Error
				if err := f(c); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("got %v, want a timeout", err)
				}
			})
		})
	}
}

func TestPeerGone(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) {
		_ = c.WaitReadable()
		c.Reset()
	})
	do(t, l, func(task *Task) {
		c, err := task.Dial(s.Addr(), time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v, want a broken pipe", err)
		}
		if err := errors.Join(c.Close()); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of a closed connection: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to a closed connection: %v", err)
		}
	})
}

func TestCloseWakesReader(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, func(task *Task, _ *Conn) { task.Park(time.Time{}) })
	do(t, l, func(task *Task) {
		c, err := task.Dial(s.Addr(), time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		l.Go(func(*Task) { _ = c.Close() })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
}

func TestDialFails(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, echo)
	do(t, l, func(task *Task) {
		_ = s.Close()
		if _, err := task.Dial(s.Addr(), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want connection refused", err)
		}
	})
}

// TestDialTimeout dials a listener whose queue is full, so that the kernel drops what asks for a connection.
func TestDialTimeout(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(anyPort.Addr(), uint16(sa.(*syscall.SockaddrInet4).Port))
	l := start(t, Config{})
	do(t, l, func(task *Task) {
		var err error
		for range 4 {
			if _, err = task.Dial(addr, 50*time.Millisecond); err != nil {
				break
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
	})
}

func TestUnread(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) { _, _ = c.Write([]byte("hello")) })
	do(t, l, func(task *Task) {
		c, err := task.Dial(s.Addr(), time.Second)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		start := make([]byte, 3)
		if _, err := io.ReadFull(c, start); err != nil {
			t.Error(err)
		}
		c.Unread(start[1:])
		c.Unread(start[:1])
		if all, err := io.ReadAll(c); string(all) != "hello" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
	})
}
