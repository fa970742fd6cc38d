package proxytest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// longAffinity does not run out during a test.
const longAffinity = 10 * time.Minute

// affinityIsShared: the memory is that of the Service port, whichever of its addresses the client uses.
func (s *subject) affinityIsShared() {
	s.web(longAffinity, "local-1", "local-2", "remote-1", "remote-2")
	for _, host := range []string{"local-3", "client", "node-1"} {
		first := s.ask(host, webClusterIP+"/TCP")
		for _, to := range []string{webNodePort, webVIP, webClusterIP} {
			for range 4 {
				if got := s.ask(host, to+"/TCP"); got != first {
					s.t.Errorf("%s -> %s: answered by %s; want %s, as at the cluster IP", host, to, got, first)
				}
			}
		}
	}
}

// affinityMovesOn: a client whose endpoint is gone gets another, stays with that one, and all others stay where they are.
func (s *subject) affinityMovesOn() {
	all := []string{"local-1", "local-2", "remote-1"}
	s.web(longAffinity, all...)
	for _, to := range []string{webClusterIP + "/TCP", webClusterIP6 + "/TCP", webClusterIP + "/UDP", webClusterIP + "/SCTP"} {
		s.web(longAffinity, all...)
		moved, other := s.ask("local-3", to), s.ask("remote-3", to)
		rest := slices.DeleteFunc(slices.Clone(all), func(e string) bool { return e == moved })
		s.web(longAffinity, rest...)
		next := s.ask("local-3", to)
		if next == moved {
			s.t.Errorf("%s: still answered by %s, which is gone", to, moved)
		}
		s.web(longAffinity, all...)
		for range 8 {
			if got := s.ask("local-3", to); got != next {
				s.t.Errorf("%s: answered by %s after %s; want it to stay", to, got, next)
			}
			if got := s.ask("remote-3", to); other != moved && got != other {
				s.t.Errorf("%s: another client moved from %s to %s, although its endpoint was always there", to, other, got)
			}
		}
	}
}

// affinityExpires: without a new connection within the timeout, the client is spread anew. It may meet the same of three
// endpoints again, but not 12 times in a row.
func (s *subject) affinityExpires() {
	s.web(time.Second, "local-1", "local-2", "remote-1")
	first := s.ask("local-3", webClusterIP+"/TCP")
	for range 12 {
		time.Sleep(1500 * time.Millisecond) // time itself is what is tested
		if s.ask("local-3", webClusterIP+"/TCP") != first {
			return
		}
	}
	s.t.Errorf("after 12 times the timeout of 1 s, %s still answers", first)
}

// affinityIsRefreshed: each new connection starts the timeout anew.
func (s *subject) affinityIsRefreshed() {
	s.web(2*time.Second, "local-1", "local-2", "remote-1")
	first := s.ask("local-3", webClusterIP+"/TCP")
	for range 6 {
		time.Sleep(700 * time.Millisecond) // time itself is what is tested
		if got := s.ask("local-3", webClusterIP+"/TCP"); got != first {
			s.t.Errorf("answered by %s after %s, within 2 s of the last connection", got, first)
		}
	}
}

// establishedConnections: a TCP connection, or an SCTP association, outlives the endpoint's removal and that of the Service.
func (s *subject) establishedConnections() {
	s.web(0, "local-1")
	var checks []func(string)
	for _, to := range []string{
		webClusterIP + "/TCP", webClusterIP6 + "/TCP", webNodePort + "/TCP", webVIP + "/TCP", webClusterIP + "/SCTP", webVIP + "/SCTP",
	} {
		for _, host := range []string{"local-3", "client", "node-1"} {
			server, check := s.talk(host, to)
			if server != "local-1" {
				s.t.Errorf("%s -> %s: answered by %s", host, to, server)
			}
			checks = append(checks, check)
		}
	}
	all := func(when string) {
		for _, check := range checks {
			check(when)
		}
	}
	s.web(0, "local-1", "local-2", "remote-1")
	all("with more endpoints")
	s.web(0, "remote-1")
	all("after its endpoint was removed")
	s.web(0)
	all("after all endpoints were removed")
	if err := s.objects.remove("Service ns/web"); err != nil {
		s.t.Fatal(err)
	}
	s.sync()
	all("after the Service was deleted")
}

// loadPace is how long each client of load waits between two connections. A guest has one slow processor, which clients that
// do not wait would leave nothing of to the backend.
func loadPace() time.Duration {
	if guest.Inside() {
		return 50 * time.Millisecond
	}
	return 0
}

// load connects again and again from several hosts until stop is called, which returns what went wrong.
func (s *subject) load(valid ...string) (stop func() []error) {
	pace := loadPace()
	done := make(chan struct{})
	var mu sync.Mutex
	var errs []error
	var running sync.WaitGroup
	count := 0
	for _, route := range [][2]string{
		{"local-3", webClusterIP + "/TCP"},
		{"local-3", webClusterIP6 + "/UDP"},
		{"client", webNodePort + "/TCP"},
		{"node-1", webVIP + "/TCP"},
		{"remote-3", webClusterIP + "/UDP"},
		{"local-2", webClusterIP + "/SCTP"},
	} {
		p := s.to(route[0], route[1])
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(pace):
				}
				o := s.connect(route[0], p.Packet, answerPatience)
				mu.Lock()
				count++
				if !slices.Contains(valid, o.server) {
					errs = append(errs, fmt.Errorf("%s -> %s: %s", route[0], route[1], o))
				}
				mu.Unlock()
			}
		})
	}
	return func() []error {
		close(done)
		running.Wait()
		if count == 0 {
			errs = append(errs, fmt.Errorf("no connection was made"))
		}
		s.t.Logf("%d connections", count)
		return errs
	}
}

// changesUnderLoad: while endpoints come and go, all of them alive, no connection fails.
func (s *subject) changesUnderLoad() {
	sets := [][]string{
		{"local-1", "local-2", "remote-1"},
		{"local-2", "remote-1"},
		{"remote-1"},
		{"remote-2", "local-1"},
		{"local-1", "local-2", "remote-1", "remote-2"},
		{"local-2"},
	}
	s.web(0, sets[0]...)
	stop := s.load("local-1", "local-2", "remote-1", "remote-2")
	for i := range 60 {
		s.web(0, sets[i%len(sets)]...)
	}
	for _, err := range stop() {
		s.t.Error(err)
	}
}

// restartUnderLoad: a process that starts anew on a node whose rules are in force disturbs no connection, old or new.
func (s *subject) restartUnderLoad() {
	s.web(0, "local-1", "remote-1")
	_, check := s.talk("client", webNodePort+"/TCP")
	stop := s.load("local-1", "remote-1")
	for range 20 {
		s.start()
		s.objects.changes.All = true
		s.sync()
	}
	for _, err := range stop() {
		s.t.Error(err)
	}
	check("after 20 restarts")
}

// evenSpread: each of three endpoints gets its share of 300 connections, give or take five standard deviations.
func (s *subject) evenSpread() {
	s.web(0, "local-1", "local-2", "remote-1")
	got := map[string]int{}
	for range 300 {
		got[s.ask("local-3", webClusterIP+"/TCP")]++
	}
	for name, count := range got {
		if count < 60 || count > 140 {
			s.t.Errorf("%s got %d of 300 connections; want about 100", name, count)
		}
	}
}

// cleanup: after it, packets go their way as if there had never been a Service; a second time is no error.
func (s *subject) cleanup() {
	s.web(longAffinity, "local-1")
	s.ask("client", webNodePort+"/TCP")
	for range 2 {
		if err := s.backend.Cleanup(s.t.Context()); err != nil {
			s.t.Fatalf("Cleanup: %v", err)
		}
	}
	for to, want := range map[string]string{webNodePort: thisNode, webVIP: "internet", webClusterIP: "internet"} {
		if got := s.ask("client", to+"/TCP"); got != want {
			s.t.Errorf("after Cleanup, %s is answered by %s; want %s", to, got, want)
		}
	}
}
