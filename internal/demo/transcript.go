package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// transcript is what the reader sees: titles, commands with their output, and checks.
type transcript struct {
	out    io.Writer
	checks int
	failed []string
}

func (t *transcript) title(text string) { fmt.Fprintf(t.out, "\n== %s\n", text) }

// command prints a command as the reader would type it.
func (t *transcript) command(text string) { fmt.Fprintf(t.out, "$ %s\n", text) }

// output prints what a command said, indented.
func (t *transcript) output(text string) {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(t.out, "  | %s\n", line)
	}
}

// check compares what was seen with what was expected, word for word.
func (t *transcript) check(what, expected, seen string) {
	t.verdict(what, expected, seen, expected == seen)
}

// verdict prints a check whose outcome the caller has decided.
func (t *transcript) verdict(what, expected, seen string, ok bool) {
	t.checks++
	mark := "ok"
	if !ok {
		mark = "NOT AS EXPECTED"
		t.failed = append(t.failed, what)
	}
	fmt.Fprintf(t.out, "  %s\n    expected  %s\n    seen      %s   %s\n", what, expected, seen, mark)
}

// summary prints the count of checks, and returns an error that names those that failed.
func (t *transcript) summary() error {
	fmt.Fprintf(t.out, "\n%d checks, %d not as expected\n", t.checks, len(t.failed))
	if len(t.failed) > 0 {
		return fmt.Errorf("not as expected: %s", strings.Join(t.failed, "; "))
	}
	return nil
}

// list prints names for a check: sorted, "none" if there are none.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// missing returns the members of a that are not in b.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// common returns the members of a that are in b too.
func common(a, b []string) []string { return missing(a, missing(a, b)) }
