package guesttest

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// result is what became of one test in the guest.
type result struct {
	name    string // whole
	label   string // below its parent
	outcome string // PASS, FAIL, SKIP
	ended   bool
	output  bytes.Buffer
	parts   []*result
}

// results reads the output of a test binary with -test.v=test2json, in which lines of the testing package start with a
// byte of their own, and in which one names the test that the lines after it belong to. It is safe for concurrent use.
type results struct {
	mu      sync.Mutex
	rest    []byte // of an unfinished line; guarded by mu
	root    *result
	current *result
	byName  map[string]*result
	failed  bool // a test has
}

// newResults returns the results of the test of this name, which itself becomes the root.
func newResults(name string) *results {
	root := &result{name: name, label: name}
	return &results{root: root, current: root, byName: map[string]*result{name: root}}
}

// marker starts the lines of the testing package (cmd/internal/test2json).
const marker = '\x16'

// event is a line of the testing package: "=== RUN   Name", "--- FAIL: Name (0.01s)".
var event = regexp.MustCompile(`^(?:=== (RUN|PAUSE|CONT|NAME)\s+(.*)|\s*--- (PASS|FAIL|SKIP): (.*) \([0-9.]+s\))$`)

// Write implements io.Writer; it never fails.
func (r *results) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		r.line(string(r.rest[:i]))
		r.rest = append(r.rest[:0], r.rest[i+1:]...)
	}
}

// close takes what is left of the output, a line without an end.
func (r *results) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rest) > 0 {
		r.line(string(r.rest))
		r.rest = nil
	}
}

// line takes one line of output. Output that ended without a line break may come before the marker.
func (r *results) line(line string) {
	before, marked, found := strings.Cut(line, string(marker))
	if !found {
		r.print(line)
		return
	}
	match := event.FindStringSubmatch(marked)
	if match == nil {
		r.print(before + marked)
		return
	}
	if before != "" {
		r.print(before)
	}
	if name := match[2]; match[1] != "" {
		r.current = r.test(name)
		return
	}
	r.current = r.test(match[4])
	r.current.outcome, r.current.ended = match[3], true
	r.failed = r.failed || match[3] == "FAIL"
}

// print adds a line to the output of the test that has the word. What the binary says at its end is left out.
func (r *results) print(line string) {
	if r.root.ended && r.current == r.root && (line == "PASS" || line == "FAIL") {
		return
	}
	r.current.output.WriteString(line)
	r.current.output.WriteByte('\n')
}

// test returns the test of a name, which is new if it starts only now. Its parent is the one with the longest name that
// leads to it: names of subtests may hold slashes.
func (r *results) test(name string) *result {
	if name == "" {
		return r.root
	}
	if t := r.byName[name]; t != nil {
		return t
	}
	t := &result{name: name}
	parent, label := r.root, name
	for i := len(name) - 1; i > 0; i-- {
		if p := r.byName[name[:i]]; name[i] == '/' && p != nil {
			parent, label = p, name[i+1:]
			break
		}
	}
	t.label = label
	parent.parts = append(parent.parts, t)
	r.byName[name] = t
	return t
}

// replay reports a result as that of t, and its parts as those of subtests.
func replay(t *testing.T, r *result) {
	t.Helper()
	for _, part := range r.parts {
		t.Run(part.label, func(t *testing.T) { replay(t, part) })
	}
	// Nothing is left to be done about a write to the test's own output that fails.
	_, _ = t.Output().Write(r.output.Bytes())
	switch {
	case !r.ended:
		t.Error("it did not end in the guest")
	case r.outcome == "FAIL":
		t.Fail()
	case r.outcome == "SKIP":
		t.SkipNow()
	}
}
