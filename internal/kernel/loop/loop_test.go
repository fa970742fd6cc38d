package loop

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// anyPort is where tests listen.
var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// start runs a loop until the test ends, which fails if the loop does not end or leaves file descriptors behind.
func start(t *testing.T, config Config) *Loop {
	t.Helper()
	l, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the loop does not end")
		}
		for fd, r := range l.handlers {
			if _, ok := r.handler.(waker); r.handler != nil && !ok {
				t.Errorf("file descriptor %d was left behind: %T", fd, r.handler)
			}
		}
		if l.live.n != 0 {
			t.Errorf("%d tasks were left behind", l.live.n)
		}
	})
	return l
}

// do runs f as a task and waits until it has ended.
func do(t *testing.T, l *Loop, f func(*Task)) {
	t.Helper()
	done := make(chan struct{})
	l.Post(func() {
		l.Go(func(task *Task) {
			defer close(done)
			f(task)
		})
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the task does not end")
	}
}

// listen has the loop serve at a port of its own.
func listenOn(t *testing.T, l *Loop, config ListenConfig, serve func(*Task, *Conn)) *Listener {
	t.Helper()
	var s *Listener
	var err error
	do(t, l, func(*Task) { s, err = l.Listen(anyPort, config, serve) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSleepAndNow(t *testing.T) {
	l := start(t, Config{})
	do(t, l, func(task *Task) {
		before, real := l.Now(), time.Now()
		task.Sleep(30 * time.Millisecond)
		if d := l.Now().Sub(before); d < 30*time.Millisecond {
			t.Errorf("slept for %v by the loop's clock", d)
		}
		if d := time.Since(real); d < 30*time.Millisecond || d > 2*time.Second {
			t.Errorf("slept for %v", d)
		}
	})
}

func TestParkAndWake(t *testing.T) {
	l := start(t, Config{})
	do(t, l, func(task *Task) {
		if task.Park(l.Now().Add(20 * time.Millisecond)) {
			t.Error("woken by nobody")
		}
		task.Wake()
		if !task.Park(time.Time{}) {
			t.Error("a Wake before Park is lost")
		}
		if task.Park(l.Now().Add(-time.Second)) {
			t.Error("the Wake counts twice")
		}
		l.Go(func(*Task) { task.Wake() })
		if !task.Park(time.Time{}) {
			t.Error("not woken")
		}
		l.Go(func(other *Task) {
			task.Wake()
			other.Yield()
			task.Wake()
		})
		task.Sleep(20 * time.Millisecond)
		if !task.Park(l.Now()) {
			t.Error("a Wake during Sleep is lost")
		}
	})
}

func TestAwait(t *testing.T) {
	l := start(t, Config{})
	others := 0
	do(t, l, func(task *Task) {
		gate := make(chan struct{})
		l.Go(func(*Task) { others++; close(gate) })
		task.Await(func() { <-gate })
	})
	if others != 1 {
		t.Error("no other task has run meanwhile")
	}
}

func TestPanicsEndTheirTaskOnly(t *testing.T) {
	var log bytes.Buffer
	panics := 0
	l := start(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Panic: func() { panics++ }})
	cleaned := false
	do(t, l, func(*Task) {
		defer func() { cleaned = true }()
		panic("first")
	})
	do(t, l, func(task *Task) { task.Await(func() { panic("second") }) })
	l.Post(func() { panic("third") })
	do(t, l, func(*Task) {})
	if !cleaned || panics != 3 {
		t.Errorf("cleaned: %v, panics: %d, want true, 3", cleaned, panics)
	}
	for _, want := range []string{"bug=true", "panic=first", "second", "third", "loop_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
}

func TestTasksEndWithTheLoop(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(map[string]bool)
	spawn := func(name string, f func(*Task)) {
		l.Go(func(task *Task) {
			defer func() { ended[name] = true }()
			f(task)
		})
	}
	release := make(chan struct{})
	l.Post(func() {
		spawn("sleeps", func(task *Task) { task.Sleep(time.Hour) })
		spawn("parks again and again", func(task *Task) {
			for {
				task.Park(time.Time{})
			}
		})
		spawn("awaits", func(task *Task) { task.Await(func() { <-release }) })
		spawn("waits in a deferred function too", func(task *Task) {
			defer task.Sleep(time.Hour)
			task.Sleep(time.Hour)
		})
		spawn("cancels", func(task *Task) { cancel(); task.Await(func() { close(release) }) })
	})
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if len(ended) != 5 {
		t.Errorf("only these have ended: %v", ended)
	}
	l.Post(func() { t.Error("runs after the end") })
}

func TestManyTasks(t *testing.T) {
	l := start(t, Config{})
	const n = 2000
	ran := 0
	do(t, l, func(task *Task) {
		for range n {
			l.Go(func(other *Task) {
				other.Sleep(time.Millisecond)
				if ran++; ran == n {
					task.Wake()
				}
			})
		}
		task.Park(time.Time{})
		task.Yield()
		if l.Tasks() != 1 {
			t.Errorf("%d tasks, want 1", l.Tasks())
		}
	})
	if ran != n || len(l.idle) > idleTasks {
		t.Errorf("%d of %d ran, %d are kept", ran, n, len(l.idle))
	}
}

func TestNoFileDescriptorIsLeft(t *testing.T) {
	before := descriptors(t)
	for range 3 {
		t.Run("", func(t *testing.T) {
			l := start(t, Config{})
			s := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) { _ = c.WaitReadable() })
			do(t, l, func(task *Task) {
				for range 10 {
					if _, err := task.Dial(s.Addr(), time.Second); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d file descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
