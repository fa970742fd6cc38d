package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// streams is how many long connections there are at once, callers how many are made at once.
	streams = 4
	callers = 16
	// block is how much a long connection sends at once.
	block = 1 << 20
	// message is what is sent and answered on a short connection.
	message = "GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n\r\n......"
)

// serve is the server: what it sends is never copied, and what it gets is thrown away unread, so that the proxy is what
// limits the speed.
func serve(ctx context.Context) error {
	fd, err := unix.MemfdCreate("block", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a file in memory: %w", err)
	}
	if err := unix.Ftruncate(fd, block); err != nil {
		return fmt.Errorf("make a file in memory: %w", err)
	}
	for port, answer := range map[uint16]func(*net.TCPConn){
		portDownload: func(c *net.TCPConn) { send(c, fd) },
		portUpload:   func(c *net.TCPConn) { discard(c, new(atomic.Int64)) },
		portConnect:  reply,
	} {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					answer(c.(*net.TCPConn))
				}()
			}
		}()
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// send sends a file in memory over and over.
func send(c *net.TCPConn, file int) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file))
	if err != nil {
		return
	}
	defer f.Close()
	for {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return
		}
		if _, err := c.ReadFrom(f); err != nil {
			return
		}
	}
}

// discard takes what comes without copying it (MSG_TRUNC, tcp(7)), and counts it.
func discard(c *net.TCPConn, count *atomic.Int64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, block)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			var e error
			n, _, e = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			return !errors.Is(e, unix.EAGAIN)
		})
		if err != nil || n <= 0 {
			return
		}
		count.Add(int64(n))
	}
}

// reply answers a message with another one of its length, and closes.
func reply(c *net.TCPConn) {
	buf := make([]byte, len(message))
	if _, err := io.ReadFull(c, buf); err == nil {
		_, _ = c.Write(buf)
	}
}

// result is what a load agent prints.
type result struct {
	Bytes, Connections, Failures int64
	Seconds                      float64
}

// load puts one kind of load on an address for a while.
func load(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.length)
	defer cancel()
	var bytes, connections, failures atomic.Int64
	start := time.Now()
	var running sync.WaitGroup
	workers := map[string]int{"download": streams, "upload": streams, "connect": callers}[o.agent]
	for range workers {
		running.Go(func() {
			switch o.agent {
			case "connect":
				call(ctx, o.to, &connections, &failures)
			default:
				stream(ctx, o, &bytes, &failures)
			}
		})
	}
	running.Wait()
	return json.NewEncoder(os.Stdout).Encode(result{bytes.Load(), connections.Load(), failures.Load(), time.Since(start).Seconds()})
}

func stream(ctx context.Context, o options, bytes, failures *atomic.Int64) {
	c, err := net.Dial("tcp", o.to)
	if err != nil {
		failures.Add(1)
		return
	}
	defer c.Close()
	context.AfterFunc(ctx, func() { c.Close() })
	if o.agent == "download" {
		discard(c.(*net.TCPConn), bytes)
		return
	}
	buf := make([]byte, block)
	for {
		n, err := c.Write(buf)
		bytes.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// call makes one short connection after the other.
func call(ctx context.Context, to string, connections, failures *atomic.Int64) {
	buf := make([]byte, len(message)+1)
	for ctx.Err() == nil {
		err := func() error {
			c, err := net.DialTimeout("tcp", to, 5*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte(message)); err != nil {
				return err
			}
			n, err := io.ReadFull(c, buf)
			if n != len(message) {
				return fmt.Errorf("%d bytes came back: %w", n, err)
			}
			return nil
		}()
		if err != nil {
			failures.Add(1)
			continue
		}
		connections.Add(1)
	}
}
