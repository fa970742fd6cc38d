package loop

import (
	"context"
	"io"
	"testing"
	"time"
)

// run runs a loop for a benchmark, and f as its task.
func benchmark(b *testing.B, f func(l *Loop, t *Task)) {
	b.Helper()
	l, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	l.Post(func() {
		l.Go(func(t *Task) {
			defer cancel()
			b.ReportAllocs()
			f(l, t)
		})
	})
	if err := l.Run(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSwitch is the cost of handing over to the loop and back.
func BenchmarkSwitch(b *testing.B) {
	benchmark(b, func(_ *Loop, t *Task) {
		for b.Loop() {
			t.Yield()
		}
	})
}

func BenchmarkGo(b *testing.B) {
	benchmark(b, func(l *Loop, t *Task) {
		for b.Loop() {
			l.Go(func(*Task) {})
			t.Yield()
		}
	})
}

// BenchmarkPingPong is one byte there and back by loopback, with a limit of time on each wait.
func BenchmarkPingPong(b *testing.B) {
	benchmark(b, func(l *Loop, t *Task) {
		s, err := l.Listen(anyPort, ListenConfig{}, echo)
		if err != nil {
			b.Error(err)
			return
		}
		c, err := t.Dial(s.Addr(), time.Second)
		if err != nil {
			b.Error(err)
			return
		}
		c.SetReadTimeout(time.Minute)
		one := []byte{1}
		for b.Loop() {
			_, _ = c.Write(one)
			if _, err := io.ReadFull(c, one); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
