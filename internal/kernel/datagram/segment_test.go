package datagram

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// repliesTo sends a packet from each of the clients for each length, in turns, answers them in one batch with packets of these lengths,
// and returns which clients got which lengths, and the number of messages that it took.
func repliesTo(t *testing.T, s *Socket, clients int, lengths []int) (got [][]int, messages int) {
	t.Helper()
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := net.Dial("udp", s.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	for range lengths {
		for _, conn := range conns {
			if _, err := conn.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := NewBatch()
	n, err := s.Read(b)
	if err != nil || n != clients*len(lengths) {
		t.Fatalf("read %d packets, %v", n, err)
	}
	for i := range n {
		b.Reply(i, copy(b.Room(i), make([]byte, lengths[i/clients])))
	}
	if lost, err := s.Write(b); err != nil || lost != 0 {
		t.Fatalf("write: %d lost, %v", lost, err)
	}
	buffer := make([]byte, MaxReply)
	for _, conn := range conns {
		var sizes []int
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for range lengths {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, n)
		}
		slices.Sort(sizes)
		got = append(got, sizes)
	}
	return got, b.messages
}

func TestRepliesToOneClientAreOneMessage(t *testing.T) {
	for name, c := range map[string]struct {
		clients  int
		lengths  []int
		messages int
	}{
		"equal":                     {1, []int{90, 90, 90, 90}, 1},
		"a pair, the longer second": {1, []int{90, 140}, 1},
		"a pair, the longer first":  {1, []int{140, 90}, 1},
		"the last one shorter":      {1, []int{90, 90, 90, 20}, 1},
		"growing":                   {1, []int{90, 91, 92, 93}, 2},
		"two clients":               {2, []int{90, 140, 90}, 4},
		"too long":                  {1, []int{1300, 1300}, 2},
		"one too long":              {1, []int{90, 1300, 90}, 2},
		"alone":                     {1, []int{90}, 1},
		"as many as there can be":   {1, slices.Repeat([]int{largestSegment}, Size), 2},
	} {
		for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
			got, messages := repliesTo(t, listen(t, address), c.clients, c.lengths)
			want := make([][]int, c.clients)
			for i := range want {
				want[i] = slices.Sorted(slices.Values(c.lengths))
			}
			if diff := cmp.Diff(want, got); diff != "" || messages != c.messages {
				t.Errorf("%s to %s: %d messages, want %d\n%s", name, address, messages, c.messages, diff)
			}
		}
	}
}

// TestRepliesOneByOne has a kernel that takes no segments: those of a socket without checksums are refused.
func TestRepliesOneByOne(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	var failed error
	err := s.raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	for round := range 2 {
		got, messages := repliesTo(t, s, 2, []int{90, 140, 90})
		if want := [][]int{{90, 90, 140}, {90, 90, 140}}; !cmp.Equal(want, got) || messages != 6 || !s.apart {
			t.Errorf("round %d: %v in %d messages, want %v in one each", round, got, messages, want)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	for _, clients := range []int{1, 16, Size} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			batch := NewBatch()
			for i := range Size {
				batch.peer[i].Port = uint16(i % clients)
			}
			for b.Loop() {
				batch.queued = 0
				for i := range Size {
					batch.in[i].header.Controllen = 0
					batch.Reply(i, 90)
				}
				batch.compose(0, true)
			}
		})
	}
}
