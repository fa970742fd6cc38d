// Dns measures the cluster DNS beside CoreDNS with its own kubernetes plugin, over one API server: `make bench-dns`.
//
// Everything runs in network namespaces of the benchmark's own, without a route out. The table goes to standard output,
// progress to standard error, the values to bench/out/dns.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/switchyard-net/switchyard/bench/apiserver"
	"github.com/switchyard-net/switchyard/bench/report"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// options are the flags.
type options struct {
	quick    bool
	services int
	queries  int
	turns    int
	turn     time.Duration
	writes   int // of slices
	binaries string
	out      string
	// agent is the address and port of the server for this program's own run as the client of a fixed rate.
	agent string
	names string
}

// runDir is the directory of a run's configuration and logs.
func (o options) runDir() string { return filepath.Join(o.out, "dns-run") }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := func() error {
		o, err := parse()
		if err != nil {
			return err
		}
		if o.agent != "" {
			return fixedRateAgent(o)
		}
		return bench(ctx, o)
	}()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-dns:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintf(flag.CommandLine.Output(), `Measures the cluster DNS beside CoreDNS, over one API server. As root, on two cores:
  -quick          about 3 minutes, of which the goals say nothing
  without flags   about 15 minutes: making 10,000 Services takes 5

`)
	flag.PrintDefaults()
}

func parse() (options, error) {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "1,000 Services, shorter turns, 100,000 questions under churn")
	flag.IntVar(&o.services, "services", 10000, "number of Services with 10 endpoints each")
	flag.IntVar(&o.queries, "queries", 1_000_000, "questions about Services that change all the time")
	flag.IntVar(&o.turns, "turns", 3, "turns that each load is given to each server")
	flag.DurationVar(&o.turn, "turn", 4*time.Second, "length of a turn")
	flag.IntVar(&o.writes, "changes", 300, "slices to write, one at a time")
	flag.StringVar(&o.binaries, "bin", "bin", "directory of the programs that make has built")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out"), "directory of the results")
	flag.StringVar(&o.agent, "agent", "", "what the benchmark starts itself with, to ask this server at a fixed rate")
	flag.StringVar(&o.names, "names", "", "with -agent: the file of questions")
	flag.Usage = usage
	flag.Parse()
	if o.quick {
		o.services, o.queries, o.turns, o.turn, o.writes = 1000, 100_000, 1, 2*time.Second, 50
	}
	if o.agent != "" {
		return o, nil
	}
	if o.services < dualStack || o.services > 10000 {
		return options{}, fmt.Errorf("-services %d: want %d to 10000", o.services, dualStack)
	}
	if os.Geteuid() != 0 {
		return options{}, errors.New("network namespaces are needed: run it as root")
	}
	if runtime.NumCPU() < 2 {
		return options{}, errors.New("two processors are needed: one for the server, one for the load")
	}
	if _, err := exec.LookPath("dnsperf"); err != nil {
		return options{}, errors.New("dnsperf is needed: apt-get install dnsperf")
	}
	var err error
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
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "starting etcd and kube-apiserver")
	control, err := apiserver.Start(ctx, apiserver.Config{
		Binaries: filepath.Join(o.binaries, "bench"), Dir: dir, Address: controlAddress, Services: []netip.Prefix{serviceNetwork, serviceNetwork6},
	})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, control.Close()); err == nil {
			err = os.RemoveAll(dir) // after a failure the logs in it say why
		}
	}()
	r := &run{options: o, control: control, dir: dir}
	err = r.measureAll(ctx)
	// What was measured before a failure is worth keeping.
	return errors.Join(err, publish(ctx, o, r.rows))
}

// run is one run of the benchmark.
type run struct {
	options
	control *apiserver.Server
	dir     string
	network *network
	rows    []report.Row
	// replaced is how many endpoints were given another address.
	replaced int
}

func (r *run) record(s system, name, metric, unit string, value float64) {
	r.rows = append(r.rows, report.Row{
		System: s.name, Mode: s.mode, Case: name, Services: r.services, Metric: metric, Unit: unit, Value: value,
	})
}

func (r *run) measureAll(ctx context.Context) (err error) {
	began := time.Now()
	fmt.Fprintf(os.Stderr, "creating %d Services\n", r.services)
	if err := create(ctx, r.control.Client, r.services); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d Services with %d endpoints each (%.0fs)\n", r.services, endpointsPerService, time.Since(began).Seconds())
	if r.network, err = newNetwork(ctx, r.control.LAN); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.network.close()) }()
	for _, step := range []func(context.Context) error{r.loads, r.changesOfEach, r.nodeMemory} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
