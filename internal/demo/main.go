// Demo shows examples/my-nginx on a standalone cluster of two nodes, as a transcript with what was expected beside what
// was seen: `make demo`. It exits with 1 if anything is not as expected, and leaves nothing behind.
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
)

// timeout bounds the whole demo: about two minutes on an idle machine of two cores.
const timeout = 15 * time.Minute

func main() {
	binaries := flag.String("bin", "bin", "directory of switchyard and switchyard-standalone")
	examples := flag.String("examples", "examples", "directory of the manifests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	err := run(ctx, *binaries, *examples)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binaries, examples string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the cluster is made of network namespaces: run it as root")
	}
	binaries, err = filepath.Abs(binaries)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "switchyard-demo-")
	if err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	d := &demo{
		cluster:  cluster{binary: filepath.Join(binaries, "switchyard-standalone"), dir: dir},
		echo:     filepath.Join(binaries, "switchyard"),
		examples: examples,
		out:      transcript{out: os.Stdout},
	}
	defer func() { err = errors.Join(err, d.tearDown()) }()
	for _, step := range d.steps() {
		d.out.title(step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// tearDown stops the cluster whatever has happened, checks that it has left nothing, and sums up.
func (d *demo) tearDown() error {
	// The demo's own context may have ended; clearing up has a time of its own.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	d.out.title("Stop, and leave nothing behind")
	down := d.show(ctx, "down", "--purge")
	after, err := traces(d.cluster.dir)
	if err == nil {
		d.out.check("namespaces, processes and mounts left", "none", list(common(after, d.made)))
	}
	return errors.Join(down, err, os.RemoveAll(d.cluster.dir), d.out.summary())
}
