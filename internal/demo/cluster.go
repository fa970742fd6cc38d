package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// cluster drives switchyard-standalone by its command line, as a user does.
type cluster struct {
	binary string
	dir    string // data directory
}

// command returns a command of switchyard-standalone that is asked to end, and later killed, when ctx ends.
func (c cluster) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, c.binary, append([]string{"--data-dir", c.dir}, args...)...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	return command
}

// output runs a command and returns its standard output. What it says on standard error is part of the error.
func (c cluster) output(ctx context.Context, args ...string) (string, error) {
	command := c.command(ctx, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	text, err := command.Output()
	if err != nil {
		return string(text), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(text), nil
}

// kubectl runs kubectl and returns its standard output without the last newline.
func (c cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	text, err := c.output(ctx, append([]string{"kubectl"}, args...)...)
	return strings.TrimRight(text, "\n"), err
}

// get reads an object, or a list, into a value of its JSON form.
func (c cluster) get(ctx context.Context, into any, args ...string) error {
	text, err := c.kubectl(ctx, append(append([]string{"get"}, args...), "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("decode %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// poll is how often until asks.
const poll = 200 * time.Millisecond

// until asks again and again until the answer is yes, and says what it waited for if ctx ends before.
func until(ctx context.Context, what string, limit time.Duration, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		ok, err := ask(ctx)
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait until %s: %w", what, ctx.Err()), err)
		case <-time.After(poll):
		}
	}
}

// follow runs a command that prints until it is stopped, and sends its lines with the time at which each was read.
func (c cluster) follow(ctx context.Context, args ...string) (<-chan timedLine, error) {
	command := c.command(ctx, args...)
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	lines := make(chan timedLine, 100)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- timedLine{time.Now(), scanner.Text()}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = command.Wait() // it is stopped, never successful
	}()
	return lines, nil
}

type timedLine struct {
	at   time.Time
	text string
}

// traces lists what a cluster leaves on the machine while it runs: named network namespaces, processes that name its data
// directory, and mounts in it. Namespaces of other programs are listed too.
func traces(dir string) ([]string, error) {
	var found []string
	namespaces, err := filepath.Glob(lab.Directory + "/*")
	if err != nil {
		return nil, err
	}
	found = append(found, namespaces...)
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, file := range commands {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(dir)) {
			found = append(found, filepath.Dir(file))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir) {
			found = append(found, fields[1])
		}
	}
	return found, nil
}
