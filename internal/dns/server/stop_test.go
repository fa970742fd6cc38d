package server

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// TestStopsWhileItStarts has addresses that change as soon as they are served, as those of a node do while it is being made.
func TestStopsWhileItStarts(t *testing.T) {
	live := cluster(t)
	corefile := `.:0 {
    bind 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4
    kubernetes cluster.local
}
`
	for range 20 {
		log := &logs{}
		path := t.TempDir() + "/Corefile"
		replace(t, path, corefile)
		logger := slog.New(slog.NewTextHandler(log, nil))
		s, err := New(Config{Corefile: path}, Deps{Plugin: plugin.Deps{Live: live, Log: logger}, Log: logger})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		<-s.Started()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatalf("still there after %s:\n%s", patience, log)
		}
	}
}

func TestWriterOfTheCorefileTellsOfItsChanges(t *testing.T) {
	changed, tried := make(chan struct{}), make(chan error, 1)
	r := startServer(t, cluster(t), serverBlock("reload 1h 0s\nkubernetes cluster.local"), func(c *Config, d *Deps) {
		c.Changed, d.Tried = changed, func(err error) { tried <- err }
	})
	for _, step := range []struct{ directives, want string }{
		{"reload 1h 0s\nkubernetes cluster.local {\npods sometimes\n}", "Corefile:5"},
		{"reload 1h 0s\nkubernetes cluster.local {\nttl 7\n}", ""},
	} {
		r.writeCorefile(t, serverBlock(step.directives))
		changed <- struct{}{}
		select {
		case err := <-tried:
			if step.want == "" && err != nil || step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
				t.Errorf("%s: %v, want %q", step.directives, err, step.want)
			}
		case <-time.After(patience):
			t.Fatalf("%s: not looked at within %s", step.directives, patience)
		}
	}
}

func serverBlock(directives string) string { return ".:0 {\nbind 127.0.0.1\n" + directives + "\n}\n" }
