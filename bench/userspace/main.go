// Userspace measures the proxy of Switchyard's userspace mode beside Debian's HAProxy in TCP mode, one thread each:
// `make bench-userspace`.
//
// Everything runs in network namespaces of the benchmark's own, without a route out. The table goes to standard output,
// progress to standard error, the values to bench/out/userspace.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// options are the flags.
type options struct {
	rounds int
	length time.Duration
	out    string
	// agent and to are for this program's own runs within a namespace.
	agent string
	to    string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each system has its turn with each load")
	flag.DurationVar(&o.length, "length", 2*time.Second, "how long a turn is")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out"), "directory of the results")
	flag.StringVar(&o.agent, "agent", "", "what the benchmark starts itself with in a namespace")
	flag.StringVar(&o.to, "to", "", "with -agent: where to connect to")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-userspace:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch o.agent {
	case "server":
		return serve(ctx)
	case "proxy":
		return proxy(ctx)
	case "download", "upload", "connect":
		return load(ctx, o)
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces are needed: run it as root")
	}
	return bench(ctx, o)
}

func bench(ctx context.Context, o options) (err error) {
	if err := lab.Sweep(); err != nil {
		return fmt.Errorf("clear up after an earlier run: %w", err)
	}
	n, err := newNetwork()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.lab.Close()) }()
	systems, err := startSystems(ctx, n)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range systems {
			err = errors.Join(err, s.stop())
		}
	}()
	m, err := measure(ctx, o, n, systems)
	if err != nil {
		return err
	}
	return publish(ctx, o, systems, m)
}
