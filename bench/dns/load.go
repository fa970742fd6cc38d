package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// outstanding is how many questions dnsperf has under way at once: its default, and what fits the queue of a socket that is as the kernel
// makes it.
const outstanding = "100"

// mostLost is the part of a turn's questions that may go unanswered, as datagrams may: it is a result. More are a failure.
const mostLost = 0.1

// load is a sort of question that the servers are loaded with.
type load struct {
	name string
	// cluster is false for names outside of the cluster.
	cluster bool
	rcode   string // of all answers
	edns    bool
	sockets int // of dnsperf: one, as dnsperf has it, or several
	kind    string
	names   []string
}

// loads returns those that are measured.
func loads(services int) []load {
	all := func(n int, name func(int) string) []string {
		var out []string
		for i := range n {
			out = append(out, name((i*7919)%n)) // all over the corpus
		}
		return out
	}
	service := func(i int) string { return clusterName(serviceName(i)) }
	return []load{
		{"A", true, "NOERROR", false, 1, "A", all(services, service)},
		{"A, 16 sockets", true, "NOERROR", false, 16, "A", all(services, service)},
		{"AAAA", true, "NOERROR", false, 1, "AAAA", all(dualStack, service)},
		{"SRV", true, "NOERROR", false, 1, "SRV", all(services, func(i int) string { return "_http._tcp." + service(i) })},
		{"headless, 3 endpoints", true, "NOERROR", false, 1, "A", all(headless, func(i int) string { return clusterName(headlessName(smallHeadless, i)) })},
		{"headless, 100 endpoints, EDNS", true, "NOERROR", true, 1, "A", all(headless, func(i int) string { return clusterName(headlessName(largeHeadless, i)) })},
		{"NXDOMAIN", true, "NXDOMAIN", false, 1, "A", all(services, func(i int) string { return clusterName("none-" + serviceName(i)) })},
		{"cached forward", false, "NOERROR", false, 1, "A", all(1000, func(i int) string { return fmt.Sprintf("host-%d.example.com", i) })},
	}
}

// file is where the questions are, one a line, as dnsperf reads them.
func (l load) file(dir string) string {
	return filepath.Join(dir, strings.ReplaceAll(strings.ReplaceAll(l.name, " ", "-"), ",", "")+".questions")
}

// write writes the questions.
func (l load) write(dir string) error {
	var text strings.Builder
	for _, name := range l.names {
		fmt.Fprintf(&text, "%s %s\n", name, l.kind)
	}
	return os.WriteFile(l.file(dir), []byte(text.String()), 0o600)
}

// turn is what a server made of one turn.
type turn struct {
	perSecond float64
	cpu       time.Duration // for each question
	lost      float64       // the part of the questions that had no answer
}

// loads measures each load with both servers in turns, then the latency at a fixed rate.
func (r *run) loads(ctx context.Context) (err error) {
	var servers []*server
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.Stop())
		}
	}()
	for _, s := range []system{switchyard, coredns} {
		started, err := r.start(ctx, s)
		if err != nil {
			return err
		}
		servers = append(servers, started)
	}
	for _, s := range servers {
		if err := r.memory(s, "rss idle"); err != nil {
			return err
		}
	}
	for _, l := range loads(r.services) {
		if err := r.load(ctx, l, servers); err != nil {
			return fmt.Errorf("load with %s: %w", l.name, err)
		}
	}
	if err := r.fixedRate(ctx, servers); err != nil {
		return err
	}
	for _, s := range servers {
		if err := r.memory(s, "rss under load"); err != nil {
			return err
		}
	}
	return nil
}

// load measures one load.
func (r *run) load(ctx context.Context, l load, servers []*server) error {
	if err := l.write(r.dir); err != nil {
		return err
	}
	turns := map[*server][]turn{}
	for i := range r.turns + 1 {
		for _, s := range servers {
			length := r.turn
			if i == 0 {
				length = time.Second // to fill caches and warm up
			}
			t, err := r.takeTurn(ctx, l, s, length)
			if err != nil {
				return errors.Join(err, s.Exited())
			}
			if i > 0 {
				turns[s] = append(turns[s], t)
			}
		}
	}
	for _, s := range servers {
		slices.SortFunc(turns[s], func(a, b turn) int { return int(a.cpu - b.cpu) })
		median := turns[s][len(turns[s])/2]
		r.record(s.system, l.name, "rate", "1/s", median.perSecond)
		r.record(s.system, l.name, "cpu each", "us", float64(median.cpu.Nanoseconds())/1000)
		if median.lost > 0 {
			r.record(s.system, l.name, "lost", "%", 100*median.lost)
		}
		fmt.Fprintf(os.Stderr, "  %-30s %-11s %8.0f/s, %6.2f us of processor time each\n",
			l.name, s.name, median.perSecond, float64(median.cpu.Nanoseconds())/1000)
	}
	return nil
}

// takeTurn runs dnsperf once.
func (r *run) takeTurn(ctx context.Context, l load, s *server, length time.Duration) (turn, error) {
	args := []string{
		"-c", clientCPU, "dnsperf", "-s", s.address().Addr().String(), "-p", strconv.Itoa(int(s.port)), "-d", l.file(r.dir),
		"-l", strconv.FormatFloat(length.Seconds(), 'f', 0, 64), "-q", outstanding, "-c", strconv.Itoa(l.sockets), "-T", "1", "-t", "2", "-b", "4096",
	}
	if l.edns {
		args = append(args, "-e")
	}
	before, err := s.CPU()
	if err != nil {
		return turn{}, err
	}
	command := r.network.client.Command(ctx, "taskset", args...)
	text, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return turn{}, fmt.Errorf("run dnsperf: %w", err)
	}
	after, err := s.CPU()
	if err != nil {
		return turn{}, err
	}
	o, err := readDnsperf(string(text))
	if err != nil {
		return turn{}, err
	}
	lost := float64(o.lost) / float64(o.lost+o.completed)
	if lost > mostLost || o.rcodes[l.rcode] != o.completed {
		return turn{}, fmt.Errorf("%d of %d answers came, with the codes %v; want all, with %s:\n%s", o.completed, o.completed+o.lost, o.rcodes, l.rcode, text)
	}
	return turn{perSecond: o.perSecond, cpu: (after - before) / time.Duration(o.completed), lost: lost}, nil
}

// outcome is what dnsperf prints at its end.
type outcome struct {
	completed, lost int
	perSecond       float64
	rcodes          map[string]int
}

var (
	completedLine = regexp.MustCompile(`Queries completed: +(\d+)`)
	lostLine      = regexp.MustCompile(`Queries lost: +(\d+)`)
	rateLine      = regexp.MustCompile(`Queries per second: +([\d.]+)`)
	rcodesLine    = regexp.MustCompile(`Response codes: +(.*)`)
	rcodeCount    = regexp.MustCompile(`([A-Z0-9]+) (\d+) \(`)
)

// readDnsperf reads what dnsperf prints.
func readDnsperf(text string) (outcome, error) {
	o := outcome{rcodes: map[string]int{}}
	var errs []error
	for _, value := range []struct {
		line *regexp.Regexp
		set  func(string) error
	}{
		{completedLine, func(s string) (err error) { o.completed, err = strconv.Atoi(s); return err }},
		{lostLine, func(s string) (err error) { o.lost, err = strconv.Atoi(s); return err }},
		{rateLine, func(s string) (err error) { o.perSecond, err = strconv.ParseFloat(s, 64); return err }},
		{rcodesLine, func(s string) error {
			for _, match := range rcodeCount.FindAllStringSubmatch(s, -1) {
				o.rcodes[match[1]], _ = strconv.Atoi(match[2])
			}
			return nil
		}},
	} {
		match := value.line.FindStringSubmatch(text)
		if match == nil {
			errs = append(errs, fmt.Errorf("dnsperf printed no %q", value.line))
			continue
		}
		errs = append(errs, value.set(match[1]))
	}
	if o.completed == 0 {
		errs = append(errs, fmt.Errorf("no question was answered:\n%s", text))
	}
	return o, errors.Join(errs...)
}

// memory records the resident memory of a server.
func (r *run) memory(s *server, metric string) error {
	bytes, err := s.Memory("VmRSS")
	if err != nil {
		return err
	}
	r.record(s.system, "memory", metric, "MB", float64(bytes)/1e6)
	fmt.Fprintf(os.Stderr, "  %s: %s %.1f MB\n", s.name, metric, float64(bytes)/1e6)
	return nil
}

// question packs a question with the number 0.
func question(name string, kind uint16) ([]byte, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	m.Id = 0
	return m.Pack()
}
