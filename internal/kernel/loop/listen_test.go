package loop

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestConnectionLimit(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{Connections: 2}, echo)
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	answers := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := io.ReadFull(c, make([]byte, 1))
		return err == nil
	}
	if !answers(conns[0]) || !answers(conns[1]) {
		t.Error("a connection within the limit is not served")
	}
	open := 0
	do(t, l, func(*Task) { open = s.Open() })
	if open != 2 {
		t.Errorf("%d connections are open, want 2", open)
	}
	_ = conns[0].Close()
	if !answers(conns[2]) {
		t.Error("the third connection is not served when the first has ended")
	}
}

func TestTwoLoopsOneAddress(t *testing.T) {
	counts := make(chan int, 64)
	a, b := start(t, Config{}), start(t, Config{})
	serve := func(n int) func(*Task, *Conn) {
		return func(*Task, *Conn) { counts <- n }
	}
	s := listenOn(t, a, ListenConfig{}, serve(0))
	do(t, b, func(*Task) {
		if _, err := b.Listen(s.Addr(), ListenConfig{}, serve(1)); err != nil {
			t.Error(err)
		}
	})
	var got [2]int
	for range 64 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got[<-counts]++
		_ = c.Close()
	}
	if got[0] == 0 || got[1] == 0 {
		t.Errorf("connections were not spread: %v", got)
	}
}

func TestCloseAcceptsTheQueue(t *testing.T) {
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{}, echo)
	var c net.Conn
	do(t, l, func(*Task) { // while this runs, nothing is accepted
		var err error
		if c, err = net.Dial("tcp", s.Addr().String()); err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("a connection from before the end is not served: %v", err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("accepts after Close")
	}
}

// TestNoDescriptorsLeft has a connection come when the process has no file descriptor for it: it is served when there is one again.
func TestNoDescriptorsLeft(t *testing.T) {
	refused := make(chan error, 100)
	l := start(t, Config{})
	s := listenOn(t, l, ListenConfig{Refused: func(err error) { refused <- err }}, echo)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := syscall.Rlimit{Cur: 0, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(s.Addr().Port()), Addr: s.Addr().Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("refused with %v, want EMFILE", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing was refused")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fd, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := syscall.Read(fd, make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v; want the connection to be served", n, err)
	}
}
