// Package guesttest runs tests in a User Mode Linux guest, as if they ran here.
//
//	func TestPacketsIPVS(t *testing.T) {
//		guesttest.Run(t, guest.Machine{}, func(t *testing.T) { proxytest.Run(t, newBackend) })
//	}
//
// On the machine, Run boots a guest and runs this test binary in it with -test.run set to this one test; there, Run calls
// the function. What the guest's run reports, subtests, output, failures and skips, becomes that of the test here. The
// function sees the guest's kernel, the machine's files, and its own package's directory as always; what it writes is
// gone at the end. One guest takes some seconds to boot: run several tests in one, as subtests.
//
// A machine that cannot boot a guest fails the test. To try by hand what a test does in the guest, see CONTRIBUTING.md.
package guesttest

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// Bounds on the time of a run in the guest.
const (
	// longest is how long a run may take if the test binary has no time limit of its own.
	longest = 10 * time.Minute
	// reserve is kept of the binary's own time limit, to report and clear away a guest that hangs.
	reserve = 15 * time.Second
	// reportTime is kept of the time of a run, for the test binary in the guest to say what it hangs in.
	reportTime = 5 * time.Second
)

// Run runs f in a guest, as the body of the test t. It may be called in a subtest, and once per test.
func Run(t *testing.T, m guest.Machine, f func(t *testing.T)) {
	t.Helper()
	run(t, m, longest, f)
}

// run is Run with another limit on the time that f has, guest.Boot not included.
func run(t *testing.T, m guest.Machine, limit time.Duration, f func(t *testing.T)) {
	t.Helper()
	if guest.Inside() {
		f(t)
		return
	}
	g, err := guest.Boot(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("end the guest: %v", err)
		}
	})
	if deadline, ok := t.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-reserve)
	}
	results := newResults(t.Name())
	state, err := runBinary(t.Context(), g, t.Name(), max(limit, 2*reportTime), results)
	results.close()
	if err != nil {
		t.Errorf("the test binary in the guest: %v", err)
	}
	replay(t, results.root)
	if err == nil && state.Code != 0 && !results.failed {
		t.Errorf("the test binary in the guest ended with code %d, although no test failed", state.Code)
	}
}

// runBinary runs this test binary in the guest, for one test.
func runBinary(ctx context.Context, g *guest.Guest, name string, limit time.Duration, output io.Writer) (guest.State, error) {
	program, err := os.Executable()
	if err != nil {
		return guest.State{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not ended after %s", limit.Round(time.Second)))
	defer cancel()
	return g.Run(ctx, guest.Command{
		Args: append([]string{program}, arguments(name, limit-reportTime)...), Env: environment(), Stdout: output, Stderr: output,
	})
}

// arguments returns the flags for the guest's run: this test only, and of its subtests those that were asked for here.
func arguments(name string, limit time.Duration) []string {
	args := []string{
		"-test.v=test2json", "-test.paniconexit0", "-test.count=1",
		"-test.run=" + pattern(name, value("test.run")),
		"-test.timeout=" + limit.String(),
	}
	for _, name := range []string{"test.skip", "test.short"} {
		if v := value(name); v != "" {
			args = append(args, "-"+name+"="+v)
		}
	}
	return args
}

// value returns what a flag is set to.
func value(name string) string {
	f := flag.Lookup(name)
	if f == nil {
		return ""
	}
	return f.Value.String()
}

// pattern returns a pattern for -test.run that matches a test by its name, and its subtests as asked matches them.
func pattern(name, asked string) string {
	parts := strings.Split(name, "/")
	exact := make([]string, len(parts))
	for i, part := range parts {
		exact[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	whole := strings.Join(exact, "/")
	var alternatives []string
	for _, alternative := range split(asked, '|') {
		elements := split(alternative, '/')
		shared := min(len(elements), len(parts))
		if !matches(elements[:shared], parts) {
			continue
		}
		if len(elements) <= len(parts) {
			return whole
		}
		alternatives = append(alternatives, whole+"/"+strings.Join(elements[shared:], "/"))
	}
	if alternatives == nil {
		return whole
	}
	return strings.Join(alternatives, "|")
}

// matches reports whether each element matches the part of a name in its place.
func matches(elements, parts []string) bool {
	for i, element := range elements {
		if ok, err := regexp.MatchString(element, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// split splits a pattern at a separator where it is in no brackets, as the testing package does.
func split(pattern string, separator byte) []string {
	var parts []string
	brackets, parentheses, start := 0, 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			brackets++
		case c == ']':
			brackets = max(brackets-1, 0) // an unmatched ] is a character
		case c == '(' && brackets == 0:
			parentheses++
		case c == ')' && brackets == 0:
			parentheses--
		case c == separator && brackets == 0 && parentheses == 0:
			parts = append(parts, pattern[start:i])
			start = i + 1
		}
	}
	return append(parts, pattern[start:])
}

// environment returns the variables of this process, but for what the guest has its own of.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case guest.Variable, "TMPDIR", "PWD", "SHLVL", "_":
		default:
			if validName.MatchString(name) {
				kept = append(kept, variable)
			}
		}
	}
	return kept
}

// validName is what a variable's name must be like for a shell to set it.
var validName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
