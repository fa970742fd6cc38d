// Proxy measures Switchyard's service proxy beside kube-proxy, against one API server: `make bench-proxy`.
//
// Everything runs in network namespaces of the benchmark's own, without a route out. The table goes to standard output,
// progress to standard error, the values to bench/out/proxy.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/bench/apiserver"
	"github.com/switchyard-net/switchyard/bench/report"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// options are the flags.
type options struct {
	quick    bool
	changes  int
	sizes    []int
	pace     time.Duration
	only     string
	binaries string
	out      string
	// agent and replaced are for this program's own run in a guest.
	agent    string
	replaced int
}

// runDir is the directory of a run's configuration and logs.
func (o options) runDir() string { return filepath.Join(o.out, "proxy-run") }

// kubeconfig is the file that leads to the API server.
func (o options) kubeconfig() string { return filepath.Join(o.runDir(), "kubeconfig") }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := func() error {
		o, err := parse()
		if err != nil {
			return err
		}
		if o.agent != "" {
			return agent(ctx, o)
		}
		return bench(ctx, o)
	}()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-proxy:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintf(flag.CommandLine.Output(), `Measures Switchyard's service proxy beside kube-proxy, mode by mode, against one API server. As root, on two cores:
  -quick                      about 7 minutes
  without flags               about 45 minutes: making 10,000 Services takes 5, each system 1 to 4 at each size
  -services 10000 -only ipvs  one mode at one size: about 15 minutes

`)
	flag.PrintDefaults()
}

func parse() (options, error) {
	var o options
	var sizes string
	flag.BoolVar(&o.quick, "quick", false, "1,000 Services and 20 changes only")
	flag.IntVar(&o.changes, "changes", 100, "endpoints to replace, one at a time")
	flag.StringVar(&sizes, "services", "1000,10000", "numbers of Services, ascending")
	flag.DurationVar(&o.pace, "min-sync-period", time.Millisecond, "minSyncPeriod of every system; 0: its own default, 1s for kube-proxy")
	flag.StringVar(&o.only, "only", "", "measure only the systems whose name and mode contain one of these words, such as \"switchyard\" or \"iptables-nft,ipvs\"")
	flag.StringVar(&o.binaries, "bin", "bin", "directory of the programs that make has built")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out"), "directory of the results")
	flag.StringVar(&o.agent, "agent", "", "what the benchmark starts itself with in a guest: the one system to measure")
	flag.IntVar(&o.replaced, "replaced", 0, "with -agent: how many endpoints were replaced before")
	flag.Usage = usage
	flag.Parse()
	if o.quick {
		o.changes, sizes = 20, "1000"
	}
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < sampled || n > 10000 {
			return options{}, fmt.Errorf("-services %q: want numbers from %d to 10000, with commas between them", sizes, sampled)
		}
		o.sizes = append(o.sizes, n)
	}
	if o.changes < 1 || o.changes > 2000 {
		return options{}, fmt.Errorf("-changes %d: want 1 to 2000", o.changes)
	}
	if os.Geteuid() != 0 {
		return options{}, errors.New("network namespaces are needed: run it as root")
	}
	var err error
	// The programs run with other working directories' files in their configuration, so paths are made absolute.
	if o.binaries, err = filepath.Abs(o.binaries); err != nil {
		return options{}, err
	}
	o.out, err = filepath.Abs(o.out)
	return o, err
}

func bench(ctx context.Context, o options) (err error) {
	if err := lab.Sweep(); err != nil {
		return fmt.Errorf("clear up after an earlier run: %w", err)
	}
	dir := o.runDir()
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), linkIPTables(dir)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "starting etcd and kube-apiserver")
	control, err := startControlPlane(ctx, o.binaries, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, control.Close()); err == nil {
			err = os.RemoveAll(dir) // after a failure the logs in it say why
		}
	}()
	rows, err := measureAll(ctx, o, control, dir)
	// What was measured before a failure is worth keeping.
	return errors.Join(err, publish(ctx, o, rows))
}

// measures reports whether -only asks for a system.
func (o options) measures(s system) bool {
	for word := range strings.SplitSeq(o.only, ",") {
		if strings.Contains(s.String(), word) {
			return true
		}
	}
	return false
}

// measureAll measures every system at every size, against the one API server.
func measureAll(ctx context.Context, o options, control *apiserver.Server, dir string) ([]report.Row, error) {
	var rows []report.Row
	corpus := &corpus{client: control.Client}
	for _, size := range o.sizes {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "creating Services up to %d\n", size)
		if err := corpus.grow(ctx, size); err != nil {
			return rows, err
		}
		fmt.Fprintf(os.Stderr, "%d Services with %d endpoints each (%.0fs)\n", size, endpointsPerService, time.Since(began).Seconds())
		for _, system := range systems() {
			if !o.measures(system) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, %d Services\n", system, size)
			run := run{system: system, corpus: corpus, changes: o.changes, pace: o.pace, binaries: o.binaries, dir: dir}
			var err error
			if system.guest {
				run.changes = min(run.changes, guestChanges)
				err = measureInGuest(ctx, o, &run, control)
			} else {
				err = run.measure(ctx, control)
			}
			rows = append(rows, run.rows...)
			if err != nil {
				return rows, err
			}
		}
	}
	return rows, nil
}
