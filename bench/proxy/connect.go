package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// ask makes one connection to target and returns the address of the pod that answered. It uses blocking system calls,
// as it runs on a thread of its own in the client's namespace, and resets the connection at the end, so that no port
// stays in TIME_WAIT.
func ask(target netip.AddrPort, timeout time.Duration) (netip.Addr, error) {
	for {
		address, err := askOnce(target, timeout)
		if !errors.Is(err, unix.EINTR) {
			return address, err
		}
	}
}

// socket returns a TCP socket whose calls end after a time, and whose connection is reset when it is closed.
func socket(timeout time.Duration) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err != nil {
		return -1, errors.Join(fmt.Errorf("set up a socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// firstPacket returns how long the handshake of one connection takes: its first packet is the one that meets all rules.
// As ask, it is for a thread in the client's namespace.
func firstPacket(target netip.AddrPort) (time.Duration, error) {
	for {
		took, err := firstPacketOnce(target)
		if !errors.Is(err, unix.EINTR) {
			return took, err
		}
	}
}

func firstPacketOnce(target netip.AddrPort) (time.Duration, error) {
	fd, err := socket(2 * time.Second)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	began := time.Now()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		return 0, fmt.Errorf("connect to %s: %w", target, err)
	}
	return time.Since(began), nil
}

func askOnce(target netip.AddrPort, timeout time.Duration) (netip.Addr, error) {
	fd, err := socket(timeout)
	if err != nil {
		return netip.Addr{}, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		return netip.Addr{}, fmt.Errorf("connect to %s: %w", target, err)
	}
	var answer [4]byte
	if _, err := unix.Write(fd, []byte{'?'}); err != nil {
		return netip.Addr{}, fmt.Errorf("write to %s: %w", target, err)
	}
	if n, err := unix.Read(fd, answer[:]); err != nil || n != len(answer) {
		return netip.Addr{}, fmt.Errorf("read %d bytes from %s: %w", n, target, err)
	}
	return netip.AddrFrom4(answer), nil
}

// load is a bounded number of connections by several workers at once.
type load struct {
	count, workers int
	limit          time.Duration // of the whole load
}

// rate is the outcome of a load.
type rate struct {
	perSecond float64
	latencies []time.Duration
}

// run connects again and again from the client's namespace. One failed connection fails the load.
func (l load) run(client *lab.Namespace, target netip.AddrPort) (rate, error) {
	var workers sync.WaitGroup
	latencies := make([][]time.Duration, l.workers)
	failures := make([]error, l.workers)
	began := time.Now()
	for w := range l.workers {
		workers.Go(func() {
			failures[w] = client.Do(func() error {
				for len(latencies[w]) < l.count/l.workers && time.Since(began) < l.limit {
					started := time.Now()
					if _, err := ask(target, 2*time.Second); err != nil {
						return err
					}
					latencies[w] = append(latencies[w], time.Since(started))
				}
				return nil
			})
		})
	}
	workers.Wait()
	took := time.Since(began)
	all := slices.Concat(latencies...)
	return rate{perSecond: float64(len(all)) / took.Seconds(), latencies: all}, errors.Join(failures...)
}
