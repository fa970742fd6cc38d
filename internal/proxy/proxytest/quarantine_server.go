package proxytest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serverVariable asks a test binary to be a server in a process of its own, which can be stopped; its value is
// "MANNER NAME ADDRESS".
const serverVariable = "SWITCHYARD_TEST_SERVER"

// manner is how a server treats its clients, each of which sends a line first.
type manner string

const (
	prompt manner = "prompt" // answers with its name, and hangs up when the client does
	slow   manner = "slow"   // likewise, but not before some time
	silent manner = "silent" // only listens, as to a log; hangs up when the client does
	deaf   manner = "deaf"   // slow, and does not mind when the client hangs up
)

// slowness is how long a slow server takes: long enough to look like one that hangs.
const slowness = 2 * time.Second

// serveAsChild serves if this process was started for that, until it is killed. It returns true afterwards.
func serveAsChild() bool {
	value, ok := os.LookupEnv(serverVariable)
	if !ok {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	how, rest, _ := strings.Cut(value, " ")
	name, address, _ := strings.Cut(rest, " ")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	serveManner(ctx, listener, manner(how), name)
	return true
}

// serveManner answers connections until ctx is done or the listener is closed.
func serveManner(ctx context.Context, listener net.Listener, how manner, name string) {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var mu sync.Mutex
	open := map[net.Conn]struct{}{}
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		} else if err != nil {
			continue
		}
		mu.Lock()
		open[conn] = struct{}{}
		mu.Unlock()
		go func() {
			how.serve(conn, name)
			mu.Lock()
			defer mu.Unlock()
			delete(open, conn)
		}()
	}
	mu.Lock()
	defer mu.Unlock()
	for conn := range open {
		conn.Close()
	}
}

func (m manner) serve(conn net.Conn, name string) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if m == silent {
			continue
		}
		if m != prompt {
			time.Sleep(slowness) // time itself is what is tested
		}
		if _, err := fmt.Fprintf(conn, "%s\n", name); err != nil {
			return
		}
	}
	if m == deaf {
		time.Sleep(time.Minute) // whoever waits for an end has lost patience by then
	}
}
