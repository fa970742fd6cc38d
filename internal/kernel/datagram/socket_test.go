package datagram

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

const patience = 30 * time.Second

// listen returns a socket that ends with the test.
func listen(t *testing.T, addr string) *Socket {
	t.Helper()
	s, err := Listen(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// echo answers each packet with itself until the socket is closed. It returns a count of them, and what closes the socket
// and waits for that.
func echo(t *testing.T, s *Socket) (count func() int, stop func()) {
	t.Helper()
	total := make(chan int, 1)
	total <- 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := NewBatch()
		for {
			n, err := s.Read(b)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			for i := range n {
				b.Reply(i, copy(b.Room(i), b.Request(i)))
			}
			total <- <-total + n
			if lost, err := s.Write(b); err != nil && !errors.Is(err, net.ErrClosed) || lost != 0 {
				t.Errorf("write: %d lost, %v", lost, err)
			}
		}
	}()
	stop = func() { _ = s.Close(); <-done }
	t.Cleanup(stop)
	return func() int { n := <-total; total <- n; return n }, stop
}

// ask sends a packet to an address and expects it back from there.
func ask(t *testing.T, to netip.AddrPort, text string) {
	t.Helper()
	conn, err := net.Dial("udp", to.String()) // a connected socket takes replies from that address only
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, MaxReply)
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, err := conn.Read(buffer)
	if err != nil || string(buffer[:n]) != text {
		t.Fatalf("%s answered %q, %v; want %q", to, buffer[:n], err, text)
	}
}

func TestRepliesInBatches(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	to := s.LocalAddr().AddrPort()
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const packets = 2*Size + 7
	for i := range packets { // before anybody reads, so that batches are full
		if _, err := fmt.Fprintf(conn, "packet %d", i); err != nil {
			t.Fatal(err)
		}
	}
	echo(t, s)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 100)
	for i := range packets {
		n, err := conn.Read(buffer)
		if want := fmt.Sprintf("packet %d", i); err != nil || string(buffer[:n]) != want {
			t.Fatalf("got %q, %v; want %q", buffer[:n], err, want)
		}
	}
}

func TestReplyLeavesFromTheAddressAsked(t *testing.T) {
	s := listen(t, "[::]:0")
	echo(t, s)
	for _, addr := range []string{"127.0.0.1", "127.0.0.5", "::1"} {
		ask(t, netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(s.LocalAddr().Port)), "from "+addr)
	}
	s4 := listen(t, "0.0.0.0:0")
	echo(t, s4)
	ask(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.7"), uint16(s4.LocalAddr().Port)), "IPv4 alone")
}

func TestPeer(t *testing.T) {
	s := listen(t, "[::]:0")
	client, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), uint16(s.LocalAddr().Port))
	if _, err := client.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
	b := NewBatch()
	if n, err := s.Read(b); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	peer := b.Peer(0)
	if from := client.LocalAddr().(*net.UDPAddr).AddrPort(); peer.From != from || peer.To != to.Addr() {
		t.Errorf("from %s to %s, want %s to %s", peer.From, peer.To, from, to.Addr())
	}
	if err := s.WriteTo([]byte("later"), &peer); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 100)
	n, from, err := client.ReadFrom(buffer)
	if err != nil || string(buffer[:n]) != "later" || from.String() != to.String() {
		t.Errorf("%q from %v, %v; want it from %s", buffer[:n], from, err, to)
	}
}

func TestSteerPassesOverTheFirst(t *testing.T) {
	first := listen(t, "127.0.0.1:0")
	to := first.LocalAddr().AddrPort()
	count, _ := echo(t, first)
	counts, stops := []func() int{count}, []func(){}
	var others []*Socket
	for range 2 {
		s := listen(t, to.String())
		others = append(others, s)
		count, stop := echo(t, s)
		counts, stops = append(counts, count), append(stops, stop)
	}
	if err := others[0].Steer(1, len(others)); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		ask(t, to, fmt.Sprint(i))
	}
	if counts[0]() != 0 || counts[1]()+counts[2]() != 50 {
		t.Errorf("the sockets got %d, %d and %d packets; want all 50 at the last two", counts[0](), counts[1](), counts[2]())
	}
	for _, stop := range stops {
		stop()
	}
	ask(t, to, "the others are gone")
	if counts[0]() != 1 {
		t.Errorf("the first socket got %d packets after the others were closed, want 1", counts[0]())
	}
}

func TestLongPacketIsMarkedCut(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	conn, err := net.Dial("udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, size := range []int{MaxRequest, MaxRequest + 1} {
		if _, err := conn.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		b := NewBatch()
		if n, err := s.Read(b); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if cut := b.Cut(0); cut != (size > MaxRequest) || len(b.Request(0)) != MaxRequest {
			t.Errorf("a packet of %d bytes: %d bytes arrived, cut: %t", size, len(b.Request(0)), cut)
		}
	}
}

func TestStopReadingLeavesNothingBehind(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	conn, err := net.Dial("udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := NewBatch()
	if waiting, err := s.Waiting(); !waiting || err != nil {
		t.Errorf("a packet that was sent: waiting %t, %v", waiting, err)
	}
	if n, err := s.Read(b); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	peer := b.Peer(0)
	if waiting, err := s.Waiting(); waiting || err != nil {
		t.Errorf("after it was read: waiting %t, %v", waiting, err)
	}
	if err := s.StopReading(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if err := s.WriteTo([]byte("bye"), &peer); err != nil {
		t.Errorf("write: %v", err)
	}
}

func TestRoundTripAllocatesNothing(t *testing.T) {
	server := listen(t, "127.0.0.1:0")
	conn, err := net.DialUDP("udp", nil, server.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := NewBatch()
	packet, buffer := []byte("hello"), make([]byte, 100)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		n, err := server.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			b.Reply(i, copy(b.Room(i), b.Request(i)))
		}
		if _, err := server.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buffer); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations a packet, want 0", allocs)
	}
}

func TestBurstIsKept(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	conn, err := net.Dial("udp", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const packets = 3000 // more than ten times what the kernel's default holds
	for range packets {
		if _, err := conn.Write(make([]byte, 50)); err != nil {
			t.Fatal(err)
		}
	}
	b := NewBatch()
	for got := 0; got < packets; {
		if waiting, err := s.Waiting(); !waiting || err != nil {
			t.Fatalf("%d of %d packets that nobody read arrived, %v", got, packets, err)
		}
		n, err := s.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
}

func TestPauseIsShort(t *testing.T) {
	const d = 200 * time.Microsecond
	var took []time.Duration
	for range 101 {
		began := time.Now()
		Pause(d)
		took = append(took, time.Since(began))
	}
	slices.Sort(took) // a signal makes one shorter, a busy machine longer
	if median := took[50]; median < d || took[10] > 10*d {
		t.Errorf("pauses of %s took %s, the shorter ones %s", d, median, took[10])
	}
}
