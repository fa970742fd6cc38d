package corednsdiff

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/bench/churn"
)

const (
	rounds            = 40
	questionsPerRound = 500
	changesPerRound   = 12
	// churnQuestions are a tenth of what make bench-dns asks.
	churnQuestions = 100_000
)

// seed of both generators. Other seeds are other objects and questions, to look further by hand.
var seed = flag.Uint64("seed", 1, "of the generated objects and questions")

// TestOverAnAPIServer runs both servers over one API server.
func TestOverAnAPIServer(t *testing.T) {
	s := startSystems(t)
	t.Run("SameAnswersAsCoreDNS", s.sameAnswers)
	t.Run("NoWrongAnswerUnderChurn", s.noWrongAnswer)
	t.Run("BadInput", s.badInput)
}

// noWrongAnswer asks about Services that change all the time.
func (s *systems) noWrongAnswer(t *testing.T) {
	result, err := churn.Run(t.Context(), churn.Config{
		Client: s.client, Namespace: "default", Queries: churnQuestions,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return s.namespace.Dial(ctx, "udp", switchyard.address(0))
		},
	})
	if err := errors.Join(err, result.Bad()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d questions while %d changes were made", result.Queries, result.Changes)
}

// sameAnswers asks both servers while the objects change. What differs is asked again until both have seen the changes: a
// difference that lasts is one.
func (s *systems) sameAnswers(t *testing.T) {
	w, err := newWorld(t.Context(), s.client, rand.New(rand.NewPCG(*seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.change(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	asker := s.newAsker(t)
	s.awaitStart(t, asker)
	questions := asking{Rand: rand.New(rand.NewPCG(*seed, 2))}
	seen := map[string]int{}
	for round := range rounds {
		if round == rounds/4 {
			if err := w.createOwn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		changed := make(chan error, 1)
		go func() { changed <- w.change(t.Context(), changesPerRound) }()
		questions.world = w.known.Load()
		var again []question
		for range questionsPerRound {
			q := questions.next()
			if asker.difference(t, q, seen) != "" {
				again = append(again, q)
			}
		}
		if err := <-changed; err != nil {
			t.Fatal(err)
		}
		asker.settle(t, again, seen)
	}
	t.Logf("%d questions; listed differences: %v", rounds*questionsPerRound, seen)
	for _, e := range exceptions() {
		if seen[e.name] == 0 {
			t.Errorf("no answer differed by %q: is it listed for nothing?", e.name)
		}
	}
}

// TestListedDifferences holds the list of exceptions against the first table of docs/dns.md.
func TestListedDifferences(t *testing.T) {
	text, err := os.ReadFile("../../../docs/dns.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Differences from CoreDNS 1.15\n")
	section, _, _ = strings.Cut(section, "\nWhat that test does not ask:\n")
	var listed, known []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(cells) == 4 {
			listed = append(listed, strings.TrimPrefix(cells[0], "| "))
		}
	}
	for _, e := range exceptions() {
		known = append(known, e.name)
	}
	slices.Sort(known)
	if diff := cmp.Diff(known, slices.Sorted(slices.Values(listed[1:]))); diff != "" { // without the head
		t.Errorf("the test (-) and docs/dns.md (+) list different differences:\n%s", diff)
	}
}

// awaitStart waits until both servers answer for every variant.
func (s *systems) awaitStart(t *testing.T, a *asker) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for i := range variants() {
		q := question{variant: i, tcp: true, msg: new(dns.Msg)}
		q.msg.SetQuestion("kubernetes.default.svc.cluster.local.", dns.TypeA)
		for {
			theirs, ours, err := a.both(t.Context(), q)
			if err == nil && theirs.Rcode != dns.RcodeServerFailure && ours.Rcode != dns.RcodeServerFailure {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the servers do not answer: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// settle asks questions whose answers differed again until they do not, and fails the test with those that go on to differ.
func (a *asker) settle(t *testing.T, again []question, seen map[string]int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for len(again) > 0 {
		last := time.Now().After(deadline)
		again = slices.DeleteFunc(again, func(q question) bool {
			diff := a.difference(t, q, seen)
			if last && diff != "" {
				t.Errorf("%s\nCoreDNS (-) and switchyard (+):\n%s", q, diff)
			}
			return diff == ""
		})
		if last {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// difference returns how the answers to a question differ, "" for not at all or as listed, which is counted.
func (a *asker) difference(t *testing.T, q question, seen map[string]int) string {
	t.Helper()
	theirs, ours, err := a.both(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	diff := differing(show(theirs), show(ours))
	if diff == "" {
		return ""
	}
	if theirs.Truncated && ours.Truncated {
		if diff := a.notPartOfWhole(t, q, ours, seen); diff != "" {
			return diff
		}
	}
	for _, e := range exceptions() {
		if e.applies(newDifference(q, theirs, ours)) {
			seen[e.name]++
			return ""
		}
	}
	return diff
}

// notPartOfWhole returns what of a truncated answer is not in the whole one, which has to be the same from both.
func (a *asker) notPartOfWhole(t *testing.T, q question, part *dns.Msg, seen map[string]int) string {
	t.Helper()
	q.tcp = true
	if diff := a.difference(t, q, seen); diff != "" {
		return diff
	}
	whole, err := a.ask(t.Context(), switchyard, q)
	if err != nil {
		t.Fatal(err)
	}
	lines := show(whole)
	return strings.Join(slices.DeleteFunc(show(part)[1:], func(line string) bool { return slices.Contains(lines, line) }), "\n")
}

// show returns all of an answer but the order of its records and the serial number.
func show(m *dns.Msg) []string {
	out := []string{header(m)}
	for _, q := range m.Question {
		out = append(out, q.String())
	}
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		var lines []string
		for _, rr := range section.records {
			if soa, ok := rr.(*dns.SOA); ok {
				copied := *soa
				copied.Serial = 0
				rr = &copied
			}
			lines = append(lines, section.name+" "+strings.ReplaceAll(rr.String(), "\t", " "))
		}
		slices.Sort(lines)
		out = append(out, lines...)
	}
	return out
}

// differing returns the lines that only one side has.
func differing(theirs, ours []string) string {
	var out strings.Builder
	for _, side := range []struct {
		sign       string
		has, lacks []string
	}{{"-", theirs, ours}, {"+", ours, theirs}} {
		left := slices.Clone(side.lacks)
		for _, line := range side.has {
			if i := slices.Index(left, line); i >= 0 {
				left = slices.Delete(left, i, i+1)
				continue
			}
			fmt.Fprintf(&out, "  %s %s\n", side.sign, line)
		}
	}
	return out.String()
}

// header returns the response code and the flags.
func header(m *dns.Msg) string {
	h := m.MsgHdr
	out := dns.RcodeToString[h.Rcode]
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{h.Authoritative, "AA"},
		{h.Truncated, "TC"},
		{h.RecursionDesired, "RD"},
		{h.RecursionAvailable, "RA"},
		{h.AuthenticatedData, "AD"},
		{h.CheckingDisabled, "CD"},
		{!h.Response, "not a response"},
		{h.Zero, "Z"},
		{h.Opcode != dns.OpcodeQuery, "opcode"},
	} {
		if flag.set {
			out += " " + flag.name
		}
	}
	return out
}
