package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen, on a machine that is busy with other things.
const patience = 30 * time.Second

// router sends everybody to the same servers, in order, and remembers what it was told.
type router struct {
	mu      sync.Mutex
	servers []netip.AddrPort
	failed  map[netip.AddrPort]int
	silent  map[netip.AddrPort]int
	clients []Client
}

func (r *router) Next(c Client, tried []netip.AddrPort) (Target, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, c)
	for _, s := range r.servers {
		if !slices.Contains(tried, s) {
			return Target{Endpoint: s}, true
		}
	}
	return Target{}, false
}

func (r *router) Failed(e netip.AddrPort, _ bool, _ error) { r.count(&r.failed, e) }
func (r *router) Silent(e netip.AddrPort)                  { r.count(&r.silent, e) }
func (r *router) Connected(netip.AddrPort)                 {}
func (r *router) Heard(netip.AddrPort)                     {}
func (r *router) Serves(_ Client, e netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.servers, e)
}

func (r *router) count(m *map[netip.AddrPort]int, e netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if *m == nil {
		*m = map[netip.AddrPort]int{}
	}
	(*m)[e]++
}

func (r *router) set(servers ...netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers = servers
}

// start runs a relay with one worker and a TCP listener, and returns the listener's address.
func start(t *testing.T, r *router) (*Relay, netip.AddrPort) {
	t.Helper()
	relay, err := New(Config{Workers: 1}, r)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.Addr().(*net.TCPAddr).AddrPort()
	probe.Close()
	l, err := Listen(addr, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	relay.Accept(l, 7)
	t.Cleanup(func() {
		relay.Leave(l)
		if err := errors.Join(relay.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	})
	return relay, addr
}

// serve answers connections until the test ends.
func serve(t *testing.T, answer func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c.(*net.TCPConn))
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func dial(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// refusing returns an address that nobody listens on. The socket keeps others from it.
func refusing(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	must(t, err)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
}

// TestHalfClose sends a question, closes that half, and reads an answer that begins only then.
func TestHalfClose(t *testing.T) {
	for _, size := range []int{0, 10, 100_000, 20_000_000} {
		r := &router{}
		r.set(serve(t, func(c *net.TCPConn) {
			question, err := io.ReadAll(c)
			if err == nil {
				_, _ = c.Write(question)
				_, _ = c.Write([]byte("end"))
			}
			c.Close()
		}))
		relay, addr := start(t, r)
		question := bytes.Repeat([]byte("0123456789"), size/10)
		c := dial(t, addr)
		go func() {
			_, _ = c.Write(question)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, append(question, "end"...)) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		eventually(t, "the connection is closed", func() bool { return relay.Stats().Connections == 0 })
		if s := relay.Stats(); s.BytesUp != int64(size) || s.BytesDown != int64(size+3) {
			t.Errorf("counted %d up and %d down; want %d and 3 more", s.BytesUp, s.BytesDown, size)
		}
		if c := r.clients[0]; c.Class != 7 || c.Destination != addr || c.UDP {
			t.Errorf("client %+v; want class 7 and destination %s", c, addr)
		}
	}
}

// TestServersHalfClose has the server end its half first.
func TestServersHalfClose(t *testing.T) {
	heard := make(chan []byte, 1)
	r := &router{}
	r.set(serve(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("hello"))
		_ = c.CloseWrite()
		rest, _ := io.ReadAll(c)
		heard <- rest
	}))
	_, addr := start(t, r)
	c := dial(t, addr)
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v", got, err)
	}
	_, err = c.Write([]byte("bye"))
	must(t, err)
	must(t, c.CloseWrite())
	if got := <-heard; string(got) != "bye" {
		t.Errorf("the server heard %q", got)
	}
}

// TestReset has each side cut the connection, and the other one learn of it as a cut.
func TestReset(t *testing.T) {
	learned := make(chan error, 1)
	r := &router{}
	r.set(serve(t, func(c *net.TCPConn) {
		buf := make([]byte, 10)
		n, _ := c.Read(buf)
		if string(buf[:n]) == "cut" {
			_ = c.SetLinger(0)
			c.Close()
			return
		}
		_, _ = c.Write([]byte("ok"))
		_, err := c.Read(buf)
		learned <- err
	}))
	_, addr := start(t, r)
	c := dial(t, addr)
	_, err := c.Write([]byte("cut"))
	must(t, err)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client learned %v; want a reset", err)
	}
	c = dial(t, addr)
	_, err = c.Write([]byte("me"))
	must(t, err)
	_, err = io.ReadFull(c, make([]byte, 2))
	must(t, err)
	must(t, c.SetLinger(0))
	must(t, c.Close())
	if err := <-learned; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server learned %v; want a reset", err)
	}
}

// TestNextServer tries servers until one answers; without one, the client is cut off.
func TestNextServer(t *testing.T) {
	r := &router{}
	good := serve(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("good")); c.Close() })
	bad := refusing(t)
	r.set(bad, good)
	relay, addr := start(t, r)
	for range 10 {
		c := dial(t, addr)
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "good" {
			t.Fatalf("read %q, %v", got, err)
		}
		c.Close()
	}
	if s := relay.Stats(); s.Retried != 10 || s.Failed != 10 || r.failed[bad] != 10 {
		t.Errorf("%+v, %d failures told; want ten", s, r.failed[bad])
	}
	r.set(bad)
	c, err := net.Dial("tcp", addr.String())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client learned %v; want a reset", err)
	}
	eventually(t, "all are closed", func() bool { s := relay.Stats(); return s.Connections == 0 && s.Refused == 1 })
}

// TestSlowReader has a client read nothing of an endless answer: the server is made to wait, and the relay holds no more
// than one buffer.
func TestSlowReader(t *testing.T) {
	r := &router{}
	r.set(serve(t, func(c *net.TCPConn) {
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}))
	relay, addr := start(t, r)
	c := dial(t, addr)
	var before int64 = -1
	eventually(t, "the server waits", func() bool {
		now := relay.Stats().BytesDown
		still := now == before && now > 0
		before = now
		time.Sleep(200 * time.Millisecond) // in which an unhindered sender would have sent more
		return still
	})
	if before > 64<<20 {
		t.Errorf("%d bytes were taken from a server whose client reads none", before)
	}
	n, err := io.CopyN(io.Discard, c, 100<<20)
	if err != nil {
		t.Errorf("read %d bytes, then %v", n, err)
	}
}

// TestSilence tells the router of a server that does not answer.
func TestSilence(t *testing.T) {
	r := &router{}
	server := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	r.set(server)
	_, addr := start(t, r)
	c := dial(t, addr)
	_, err := c.Write([]byte("anybody?"))
	must(t, err)
	eventually(t, "the router is told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.silent[server] == 1
	})
}

// TestThousands has many connections open at once, all of which work.
func TestThousands(t *testing.T) {
	r := &router{}
	r.set(serve(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c); c.Close() }))
	relay, addr := start(t, r)
	var conns []*net.TCPConn
	for range 2000 {
		conns = append(conns, dial(t, addr))
	}
	eventually(t, "all are accepted", func() bool { return relay.Stats().Connections == 2000 })
	for i, c := range conns {
		want := []byte{byte(i), byte(i >> 8)}
		_, err := c.Write(want)
		must(t, err)
		got := make([]byte, 2)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("connection %d: %x came back, %v", i, got, err)
		}
		c.Close()
	}
	eventually(t, "all are closed", func() bool { return relay.Stats().Connections == 0 })
}
