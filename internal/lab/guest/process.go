package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Command is what to run in a guest. Paths are the machine's own; standard input is empty.
type Command struct {
	Args []string
	// Dir is the working directory; empty means that of this process.
	Dir string
	// Env is added to the guest's own environment, which has PATH, HOME and Variable.
	Env []string
	// Stdout and Stderr receive the output while the command runs; nil discards it.
	Stdout, Stderr io.Writer
}

// State is how a command has ended.
type State struct {
	// Code is the exit code, 128 and the signal's number if it was killed by one.
	Code int
	// User and System are the processor time of the command and of all its children that it has waited for, in steps of
	// 10 ms. A guest's clock counts the time for which the machine runs something else instead of the guest.
	User, System time.Duration
}

// Process is a command that runs, or has run, in a guest.
type Process struct {
	guest  *Guest
	job    string // name of its directory below the shared one
	tailed [2]*tail
}

// Run runs a command to its end. The error says that the guest failed, not that the command did.
func (g *Guest) Run(ctx context.Context, c Command) (State, error) {
	p, err := g.Start(c)
	if err != nil {
		return State{}, err
	}
	return p.Wait(ctx)
}

// Start starts a command.
func (g *Guest) Start(c Command) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("start a command in the guest: it has no arguments")
	}
	script, err := c.script()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs++
	p := &Process{guest: g, job: fmt.Sprintf("job-%d", g.jobs)}
	if err := os.Mkdir(g.path(p.job), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.path("command"), []byte(script), 0o644); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(g.input, "start %s\n", p.job); err != nil {
		return nil, g.failure(fmt.Errorf("start %s in the guest: %w", c.Args[0], err))
	}
	p.tailed = [2]*tail{follow(p.path("stdout"), c.Stdout), follow(p.path("stderr"), c.Stderr)}
	return p, nil
}

// script returns the shell's version of a command.
func (c Command) script() (string, error) {
	dir := c.Dir
	if dir == "" {
		dir = "."
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cd %s || exit 126\nexport %s=1 HOME=/root\n", quote(dir), Variable)
	b.WriteString("export PATH=\"$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n")
	for _, variable := range c.Env {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	b.WriteString("exec")
	for _, arg := range c.Args {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return b.String(), nil
}

// quote quotes a word for the shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Wait waits for the end of the command, and of its output. The error says that the guest ended before, or ctx did.
func (p *Process) Wait(ctx context.Context) (State, error) {
	err := p.guest.await(ctx, p.path("ended"))
	for _, t := range p.tailed {
		t.stop()
	}
	if err != nil {
		return State{}, err
	}
	ended, err := os.ReadFile(p.path("ended"))
	if err != nil {
		return State{}, err
	}
	return parseState(string(ended))
}

// Signal sends a signal, by its name without SIG, to the command and the children of its process group. A command that
// has ended is no error.
func (p *Process) Signal(name string) error {
	p.guest.mu.Lock()
	defer p.guest.mu.Unlock()
	if _, err := fmt.Fprintf(p.guest.input, "signal %s %s\n", p.job, name); err != nil {
		return p.guest.failure(fmt.Errorf("send %s to %s in the guest: %w", name, p.job, err))
	}
	return nil
}

func (p *Process) path(name string) string { return filepath.Join(p.guest.shared, p.job, name) }

// parseState reads what init.sh writes at the end of a command: the exit code, and what the shell's builtin times prints,
// whose last two words are the user and system time of the children, as "1m2.345s".
func parseState(text string) (State, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return State{}, fmt.Errorf("end of a command in the guest: %q; want a code and four times", text)
	}
	var s State
	var errs [3]error
	s.Code, errs[0] = strconv.Atoi(fields[0])
	s.User, errs[1] = time.ParseDuration(fields[3])
	s.System, errs[2] = time.ParseDuration(fields[4])
	return s, errors.Join(errs[:]...)
}
