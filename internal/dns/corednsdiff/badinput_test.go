package corednsdiff

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	badPackets   = 20_000
	badFrames    = 200
	anyQuestions = 20_000
	// mayGrow is how much more memory the process may have after all that, in bytes: what it keeps for the next time.
	mayGrow = 64 << 20
	// mayStay is how many goroutines more there may be: others come and go all the time.
	mayStay = 20
)

// badInput sends the process what nobody should, and expects it to be as it was before.
func (s *systems) badInput(t *testing.T) {
	s.stillRight(t)
	goroutines, memory := s.goroutines(t), s.memory(t)
	s.floodUDP(t, badPackets, badPacket)
	s.floodUDP(t, anyQuestions, anyQuestion)
	s.floodTCP(t)
	s.stillRight(t)
	deadline := time.Now().Add(patience)
	for {
		now, bytes := s.goroutines(t), s.memory(t)
		if now <= goroutines+mayStay && bytes <= memory+mayGrow {
			t.Logf("goroutines %d before and %d after, memory %d MB and %d MB", goroutines, now, memory>>20, bytes>>20)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines %d before and %d after, memory %d MB and %d MB", goroutines, now, memory>>20, bytes>>20)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := s.ours.Exited(); err != nil {
		t.Fatal(err)
	}
}

// stillRight asks a question over both transports, again if it is lost in a flood.
func (s *systems) stillRight(t *testing.T) {
	t.Helper()
	a := s.newAsker(t)
	a.timeout = time.Second
	deadline := time.Now().Add(patience)
	for _, tcp := range []bool{false, true} {
		q := question{tcp: tcp, msg: new(dns.Msg)}
		q.msg.SetQuestion("two.default.svc.cluster.local.", dns.TypeA)
		m, err := a.ask(t.Context(), switchyard, q)
		for errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline) {
			m, err = a.ask(t.Context(), switchyard, q)
		}
		if err != nil || len(m.Answer) != 1 {
			t.Fatalf("%s: %s, %v", q, m, err)
		}
	}
}

// floodUDP sends packets as fast as it can, and reads what comes back until nothing does.
func (s *systems) floodUDP(t *testing.T, n int, packet func(*rand.Rand) []byte) {
	t.Helper()
	conn, err := s.namespace.Dial(t.Context(), "udp", switchyard.address(0))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	done := make(chan int)
	go func() {
		buffer, answers := make([]byte, dns.MaxMsgSize), 0
		for {
			size, err := conn.Read(buffer)
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				done <- answers
				return
			}
			if err == nil && size >= 12 && buffer[2]&0x80 == 0 {
				t.Errorf("what came back is no answer: %x", buffer[:size])
			}
			answers++
		}
	}()
	random := rand.New(rand.NewPCG(*seed, 3))
	for range n {
		if _, err := conn.Write(packet(random)); err != nil {
			t.Fatal(err)
		}
	}
	s.stillRight(t) // it answers behind the flood
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	t.Logf("%d packets, %d answers", n, <-done)
}

// anyQuestion asks for everything.
func anyQuestion(random *rand.Rand) []byte {
	m := new(dns.Msg)
	m.SetQuestion(fmt.Sprintf("host-%d.example.com.", random.IntN(1000)), dns.TypeANY)
	m.SetEdns0(dns.MaxMsgSize, true)
	packet, err := m.Pack()
	if err != nil {
		panic(err) // a question of ours
	}
	return packet
}

// badPacket returns a packet that is wrong in one way or another.
func badPacket(random *rand.Rand) []byte {
	packet := anyQuestion(random)
	switch random.IntN(9) {
	case 0: // a name that points at itself
		packet = append(packet[:12:12], 0xc0, 12, 0, 1, 0, 1)
	case 1: // two names that point at each other
		packet = append(packet[:12:12], 0xc0, 14, 0xc0, 12, 0, 1, 0, 1)
	case 2: // a label without an end
		packet = append(packet[:12:12], 63, 'x')
	case 3: // a name above 255 bytes
		packet = append(packet[:12:12], strings.Repeat("\x3f"+strings.Repeat("l", 63), 5)+"\x00\x00\x01\x00\x01"...)
	case 4: // counts of records that are not there
		for i := range 4 {
			binary.BigEndian.PutUint16(packet[4+2*i:], uint16(random.IntN(1<<16)))
		}
	case 5:
		packet = packet[:random.IntN(len(packet))]
	case 6: // any opcode and flags
		packet[2], packet[3] = byte(random.IntN(256)), byte(random.IntN(256))
	case 7:
		packet = make([]byte, random.IntN(3000))
		for i := range packet {
			packet[i] = byte(random.IntN(256))
		}
	case 8:
		for range 1 + random.IntN(5) {
			packet[random.IntN(len(packet))] = byte(random.IntN(256))
		}
	}
	return packet
}

// floodTCP opens connections and sends frames that are wrong. It leaves ending them to the server.
func (s *systems) floodTCP(t *testing.T) {
	t.Helper()
	random := rand.New(rand.NewPCG(*seed, 4))
	for i := range badFrames {
		conn, err := s.namespace.Dial(t.Context(), "tcp", switchyard.address(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		packet := badPacket(random)
		frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
		switch i % 4 {
		case 0:
			frame = frame[:random.IntN(len(frame))]
		case 1:
			frame = binary.BigEndian.AppendUint16(nil, dns.MaxMsgSize)
		case 2:
			frame = append(frame, make([]byte, 1+random.IntN(50))...)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
}

// goroutines is how many the process has, by its metrics.
func (s *systems) goroutines(t *testing.T) int {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return s.namespace.Dial(ctx, network, netip.MustParseAddrPort(address))
		},
	}}
	response, err := client.Get("http://" + switchyard.metrics().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "go_goroutines "); found {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("there is no go_goroutines in the metrics")
	return 0
}

func (s *systems) memory(t *testing.T) int64 {
	t.Helper()
	bytes, err := s.ours.Memory("VmRSS")
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
