package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// load is what clients ask for.
type load struct {
	name string
	tls  bool
	h2   bool
	path string
	post int // bytes of a body
	// large says that responses are.
	large bool
	// wide says that it is also measured at 10,000 Ingresses.
	wide bool
	// rate is how many requests a second latencies are measured at; 0: they are not.
	rate int
}

// loads are those of the issue.
func loads() []load {
	return []load{
		{name: "GET 128 B", path: "/some/path", wide: true, rate: 4000},
		{name: "GET 128 B, TLS", path: "/some/path", tls: true, wide: true, rate: 4000},
		{name: "GET 128 B, HTTP/2 TLS", path: "/some/path", tls: true, h2: true, wide: true, rate: 4000},
		{name: "GET 10 KB", path: "/files/10k"},
		{name: "GET 1 MB", path: "/files/1m", large: true},
		{name: "POST 10 KB", path: "/some/path", post: 10 << 10},
	}
}

// connections is how many clients have (a quarter for large bodies), streams how many requests each of HTTP/2 makes at a time.
const (
	connections = 64
	streams     = 16
)

// connections is how many clients have: fewer for large bodies, so that none waits for seconds.
func (l load) connections() int {
	if l.large {
		return connections / 4
	}
	return connections
}

// pound makes as many requests as the system takes, and returns their number.
func (l load) pound(ctx context.Context, dir string, s *system, host string, length time.Duration) (int, error) {
	if l.h2 {
		return l.poundH2(ctx, s, host, length)
	}
	args := []string{"-c", otherCore, "wrk", "-t1", "-c", strconv.Itoa(l.connections()), "--timeout", "30s", "-d", fmt.Sprintf("%.0fs", length.Seconds()), "-H", "Host: " + host}
	if l.post > 0 {
		script := filepath.Join(dir, "post.lua")
		text := fmt.Sprintf("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", %d)\n", l.post)
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			return 0, err
		}
		args = append(args, "-s", script)
	}
	out, err := exec.CommandContext(ctx, "taskset", append(args, l.url(s))...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bytes.Contains(out, []byte("Non-2xx")) || bytes.Contains(out, []byte("Socket errors")) {
		return 0, fmt.Errorf("%s of %s: %s", l.name, s.name, out)
	}
	return find(out, `(\d+) requests in`)
}

func (l load) url(s *system) string {
	if l.tls {
		return "https://" + s.https.String() + l.path
	}
	return "http://" + s.http.String() + l.path
}

func (l load) poundH2(ctx context.Context, s *system, host string, length time.Duration) (int, error) {
	out, err := exec.CommandContext(ctx, "taskset", "-c", otherCore, "h2load", "-t1", "-c", "8", "-m", strconv.Itoa(streams),
		"-D", fmt.Sprintf("%.0f", length.Seconds()), "-H", ":authority: "+host, l.url(s)).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("h2load: %w: %s", err, out)
	}
	n, err := find(out, `(\d+) 2xx`)
	if failed, errFailed := find(out, `(\d+) failed`); err == nil && (errFailed != nil || failed > 0) {
		return 0, fmt.Errorf("%s of %s: %s", l.name, s.name, out)
	}
	return n, err
}

// latencies makes requests at the load's rate, and returns how long each took.
func (l load) latencies(ctx context.Context, dir string, s *system, host string, length time.Duration) ([]time.Duration, error) {
	const clients = 40
	file := filepath.Join(dir, "latencies.tsv")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	args := []string{
		"-c", otherCore, "h2load", "-t1", "-c", strconv.Itoa(clients), "--rps", strconv.Itoa(l.rate / clients),
		"-n", strconv.Itoa(int(float64(l.rate) * length.Seconds())), "--log-file", file, "-H", ":authority: " + host,
	}
	if l.h2 {
		args = append(args, "-m", "4")
	} else {
		args = append(args, "--h1")
	}
	if out, err := exec.CommandContext(ctx, "taskset", append(args, l.url(s))...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("h2load: %w: %s", err, out)
	}
	return readLatencies(file)
}

// readLatencies reads h2load's log: start, status and duration of each request, the latter in microseconds.
func readLatencies(file string) ([]time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []time.Duration
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 3 || string(fields[1]) != "200" {
			return nil, fmt.Errorf("h2load's log has %q", lines.Text())
		}
		us, err := strconv.ParseInt(string(fields[2]), 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, time.Duration(us)*time.Microsecond)
	}
	slices.Sort(all)
	return all, nil
}

// find returns the number in the first match of a pattern.
func find(out []byte, pattern string) (int, error) {
	m := regexp.MustCompile(pattern).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no %s in %q", pattern, out)
	}
	return strconv.Atoi(string(m[1]))
}
