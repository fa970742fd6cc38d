package loop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestSplice(t *testing.T) {
	l := start(t, Config{})
	sent := make([]byte, 6<<20)
	_, _ = rand.Read(sent)
	source := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) { _, _ = c.Write(sent) })
	tests := []struct {
		name  string
		n     int64
		ended error // of the source
	}{
		{"a part", int64(len(sent)) - 1000, nil},
		{"all", int64(len(sent)), nil},
		{"more than there is", int64(len(sent)) + 1, io.ErrUnexpectedEOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			relay := listenOn(t, l, ListenConfig{}, func(task *Task, c *Conn) {
				src, err := task.Dial(source.Addr(), time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				defer src.Close()
				moved, from, to := c.Splice(src, test.n)
				if moved != min(test.n, int64(len(sent))) || !errors.Is(from, test.ended) || to != nil {
					t.Errorf("moved %d, %v, %v", moved, from, to)
				}
			})
			c, err := net.Dial("tcp", relay.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got, err := io.ReadAll(c)
			if want := sent[:min(test.n, int64(len(sent)))]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

func TestSpliceToOneThatLeaves(t *testing.T) {
	l := start(t, Config{})
	source := listenOn(t, l, ListenConfig{}, func(_ *Task, c *Conn) { _, _ = c.Write(make([]byte, 32<<20)) })
	done := make(chan error, 1)
	relay := listenOn(t, l, ListenConfig{}, func(task *Task, c *Conn) {
		src, err := task.Dial(source.Addr(), time.Second)
		if err != nil {
			done <- err
			return
		}
		defer src.Close()
		_, from, to := c.Splice(src, 32<<20)
		if from != nil || to == nil {
			t.Errorf("from %v, to %v; want an error of the latter only", from, to)
		}
		done <- nil
	})
	c, err := net.Dial("tcp", relay.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	do(t, l, func(*Task) {
		if len(l.pipes) != 0 {
			t.Error("a pipe with data in it is kept")
		}
	})
}
