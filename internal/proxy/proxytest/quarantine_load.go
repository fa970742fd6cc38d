package proxytest

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// attempt is one connection of a load: when it began, and who answered it; empty: nobody.
type attempt struct {
	began  time.Time
	server string
}

// load connects to an address at a steady pace, whatever becomes of the connections before.
type load struct {
	mu       sync.Mutex
	attempts []attempt // guarded by mu
	running  sync.WaitGroup
	stop     context.CancelFunc
	giveUp   context.CancelFunc
}

const (
	// loadPeriod is the time between two connections of a load; a guest is slower.
	loadPeriod      = 50 * time.Millisecond
	guestLoadPeriod = 250 * time.Millisecond
	// loadPatience is how long one waits for its answer: a server that hung answers those that wait when it goes on,
	// which tells when they began.
	loadPatience = 30 * time.Second
)

// startLoad begins to connect from a namespace. Where nobody answers, as with a silent server, only a line is sent.
func startLoad(from *lab.Namespace, to netip.AddrPort, answers bool) *load {
	l := &load{}
	ctx, stop := context.WithCancel(context.Background())
	waiting, giveUp := context.WithCancel(context.Background())
	l.stop, l.giveUp = stop, giveUp
	period := loadPeriod
	if guest.Inside() {
		period = guestLoadPeriod
	}
	l.running.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				l.running.Go(func() { l.attempt(waiting, from, to, answers) })
			}
		}
	})
	return l
}

func (l *load) attempt(ctx context.Context, from *lab.Namespace, to netip.AddrPort, answers bool) {
	a := attempt{began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	if conn, err := from.Dial(ctx, "tcp", to); err == nil {
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		defer conn.Close()
		if _, err := fmt.Fprintln(conn, "hello"); err == nil && answers {
			line, _ := bufio.NewReader(conn).ReadString('\n')
			a.server = strings.TrimSpace(line)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts = append(l.attempts, a)
}

// end stops the load, and waits for what is under way for as long as patience says.
func (l *load) end(patience time.Duration) {
	l.stop()
	defer time.AfterFunc(patience, l.giveUp).Stop()
	l.running.Wait()
}

// answeredBy reports whether a server has answered a connection that began after a time.
func (l *load) answeredBy(server string, after time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if a.server == server && a.began.After(after) {
			return true
		}
	}
	return false
}
