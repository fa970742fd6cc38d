package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/bench/report"
)

const (
	// fixedRatePerSecond questions, for a time that is short enough for their numbers not to repeat.
	fixedRatePerSecond = 5000
	fixedRateLength    = 10 * time.Second
	// fixedRateLost is how long the last answers may take.
	fixedRateLost = 2 * time.Second
)

// latencies is what the agent prints, in nanoseconds.
type latencies struct {
	P50, P99, Max time.Duration
	Lost          int
}

// fixedRate measures the latency at a fixed rate, with the servers in turns.
func (r *run) fixedRate(ctx context.Context, servers []*server) error {
	names := loads(r.services)[0].file(r.dir)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	all := map[*server][]latencies{}
	for range r.turns {
		for _, s := range servers {
			command := r.network.client.Command(ctx, "taskset", "-c", clientCPU, program, "-agent", s.address().String(), "-names", names)
			command.Stderr = os.Stderr
			text, err := command.Output()
			if err != nil {
				return fmt.Errorf("ask %s at a fixed rate: %w", s.name, err)
			}
			var l latencies
			if err := json.Unmarshal(text, &l); err != nil {
				return fmt.Errorf("read the latencies of %s: %w", s.name, err)
			}
			if l.Lost > 0 {
				return fmt.Errorf("ask %s at a fixed rate: %d answers did not come", s.name, l.Lost)
			}
			all[s] = append(all[s], l)
		}
	}
	for _, s := range servers {
		slices.SortFunc(all[s], func(a, b latencies) int { return int(a.P99 - b.P99) })
		median := all[s][len(all[s])/2]
		const name = "A at 5,000 a second"
		r.record(s.system, name, "p50", "us", microseconds(median.P50))
		r.record(s.system, name, "p99", "us", microseconds(median.P99))
		fmt.Fprintf(os.Stderr, "  %-30s %-11s p50 %s, p99 %s, max %s\n", name, s.name, median.P50, median.P99, median.Max)
	}
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// fixedRateAgent asks a server, and prints the latencies. It has a processor to itself and never sleeps, so that what it measures is the
// server's: an answer counts from when its question was due.
func fixedRateAgent(o options) error {
	to, err := netip.ParseAddrPort(o.agent)
	if err != nil {
		return err
	}
	questions, err := readQuestions(o.names)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	// What arrives while the machine does something else is not to be lost.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
		return fmt.Errorf("set SO_RCVBUFFORCE: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	took, err := askAtFixedRate(fd, questions)
	if err != nil {
		return err
	}
	l := latencies{
		P50: report.Percentile(took, 50), P99: report.Percentile(took, 99), Max: report.Percentile(took, 100),
		Lost: int(fixedRateLength.Seconds())*fixedRatePerSecond - len(took),
	}
	return json.NewEncoder(os.Stdout).Encode(l)
}

// askAtFixedRate returns how long each answer took that came.
func askAtFixedRate(fd int, questions [][]byte) ([]time.Duration, error) {
	const interval = time.Second / fixedRatePerSecond
	total := int(fixedRateLength / interval)
	took := make([]time.Duration, 0, total)
	var buffer [4096]byte
	start := time.Now()
	for sent := 0; len(took) < total; {
		now := time.Since(start)
		if due := time.Duration(sent) * interval; sent < total && now >= due {
			packet := questions[sent%len(questions)]
			binary.BigEndian.PutUint16(packet, uint16(sent))
			if _, err := unix.Write(fd, packet); err != nil {
				return nil, fmt.Errorf("send: %w", err)
			}
			sent++
			continue
		}
		n, err := unix.Read(fd, buffer[:])
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			if now > fixedRateLength+fixedRateLost {
				return took, nil
			}
		case err != nil:
			return nil, fmt.Errorf("receive: %w", err)
		case n >= 2:
			number := int(binary.BigEndian.Uint16(buffer[:]))
			took = append(took, time.Since(start)-time.Duration(number)*interval)
		}
	}
	return took, nil
}

// readQuestions reads a file of names and types.
func readQuestions(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out [][]byte
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, kind, _ := strings.Cut(lines.Text(), " ")
		packet, err := question(name, dns.StringToType[kind])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, packet)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no questions", path)
	}
	return out, nil
}
