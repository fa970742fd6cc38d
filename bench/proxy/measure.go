package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/switchyard-net/switchyard/bench/apiserver"
	"github.com/switchyard-net/switchyard/bench/process"
	"github.com/switchyard-net/switchyard/bench/report"
)

const (
	firstSyncTimeout = 10 * time.Minute
	// changeTimeout bounds a change; in the guest, kube-proxy takes 10 to 20 s of its hundreds of small commands alone.
	changeTimeout = 5 * time.Minute
	// guestChanges is how many endpoints are replaced there, at most.
	guestChanges = 3
	// sampled Services, first and last among them, are polled for the first sync; all others are tried after it.
	sampled     = 20
	samplePause = 20 * time.Millisecond
	// Short rounds in turns: what else the machine does falls on all alike.
	loadRounds   = 11
	loadWorkers  = 4
	loadCount    = 20000
	loadDuration = 500 * time.Millisecond
	// firstPackets is how many connections are opened one by one through each Service whose latency is compared.
	firstPackets = 3000
)

// errUnfinished says that what a system was to do did not end within its limit.
var errUnfinished = errors.New("not finished")

// run is the measurement of one system with the corpus as it is.
type run struct {
	system   system
	corpus   *corpus
	changes  int
	pace     time.Duration // minSyncPeriod
	binaries string
	dir      string // of configuration and logs
	network  *network
	process  *process.Process
	rows     []report.Row
}

func (r *run) record(name, metric, unit string, value float64) {
	r.rows = append(r.rows, report.Row{
		System: r.system.name, Mode: r.system.mode, Case: name, Services: r.corpus.services,
		Metric: metric, Unit: unit, Value: value,
	})
}

// measure starts the system in a network of its own, measures it and removes all again.
func (r *run) measure(ctx context.Context, control *apiserver.Server) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.network, err = newNetwork(ctx, control.LAN); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.network.close()) }()
	if control.LAN == nil {
		if r.corpus.client, err = wireUp(r.network, control.Kubeconfig); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := r.start(ctx, control.Kubeconfig); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.process.Stop()) }()
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return r.firstSync(ctx, began) },
		r.endpointChanges,
		func(context.Context) error { return r.memory() },
		r.ruleset,
		func(context.Context) error { return r.firstPackets() },
		func(context.Context) error { return r.connectionRates() },
	}
	for _, step := range steps {
		err := step(ctx)
		if errors.Is(err, errUnfinished) && r.system.limit > 0 {
			fmt.Fprintf(os.Stderr, "  %v\n", err)
			return nil
		}
		if err != nil {
			return errors.Join(fmt.Errorf("measure %s with %d Services: %w", r.system, r.corpus.services, err), r.process.Exited())
		}
	}
	return nil
}

func (r *run) start(ctx context.Context, kubeconfig string) (err error) {
	name := fmt.Sprintf("%s-%s-%d", r.system.name, r.system.mode, r.corpus.services)
	configuration := filepath.Join(r.dir, name+".yaml")
	if err := os.WriteFile(configuration, r.system.configuration(kubeconfig, r.pace), 0o600); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", r.system, err)
	}
	args := append(r.system.command(r.binaries), "--config="+configuration)
	command := r.network.node.Command(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), "PATH="+filepath.Join(r.dir, r.system.variant())+":"+os.Getenv("PATH"))
	r.process, err = process.Start(command, filepath.Join(r.dir, name+".log"))
	return err
}

// firstSync waits until Services all over the corpus answer, then makes sure that all do. A system that does not get there
// within its limit is one result among others.
func (r *run) firstSync(ctx context.Context, began time.Time) error {
	limit := firstSyncTimeout
	if r.system.limit > 0 {
		limit = r.system.limit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	go func() {
		select {
		case <-r.process.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	var all, sample []netip.AddrPort
	for i := range r.corpus.services {
		all = append(all, frontend(i))
	}
	for i := range sampled {
		sample = append(sample, frontend(i*(r.corpus.services-1)/(sampled-1)))
	}
	last, err := answering(ctx, r.network.client, sample, samplePause)
	if err != nil && r.process.Exited() == nil && r.system.limit > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.record("start", "not finished after", "s", limit.Seconds())
		return fmt.Errorf("%w after %s", errUnfinished, limit)
	}
	if err != nil {
		return fmt.Errorf("wait for the first rules: %w", err)
	}
	swept := time.Now()
	if _, err := answering(ctx, r.network.client, all, samplePause); err != nil {
		return fmt.Errorf("try every Service: %w", err)
	}
	// Only now, as that of a child such as nft counts when it has ended.
	cpu, err := r.process.CPU()
	if err != nil {
		return err
	}
	r.record("start", "to last rule", "s", last.Sub(began).Seconds())
	r.record("start", "cpu", "s", cpu.Seconds())
	fmt.Fprintf(os.Stderr, "  start to last rule %.2fs; all %d Services tried in %.1fs\n",
		last.Sub(began).Seconds(), len(all), time.Since(swept).Seconds())
	return nil
}

// endpointChanges replaces one endpoint after the other, each when the one before is in force.
func (r *run) endpointChanges(ctx context.Context) error {
	detector, err := r.detector()
	if err != nil {
		return err
	}
	defer detector.close()
	before, err := r.process.CPU()
	if err != nil {
		return err
	}
	var took []time.Duration
	late := 0
	for range r.changes {
		latency, err := r.oneChange(ctx, detector)
		if errors.Is(err, errUnfinished) && r.system.guest {
			latency, err = changeTimeout, nil
			late++
		}
		if err != nil {
			return err
		}
		took = append(took, latency)
	}
	if late > 0 {
		// They count with the time that they were waited for, so that the percentiles are too low rather than too high.
		r.record("endpoint change", "not finished", "count", float64(late))
	}
	after, err := r.process.CPU()
	if err != nil {
		return err
	}
	r.record("endpoint change", "p50", "ms", milliseconds(report.Percentile(took, 50)))
	r.record("endpoint change", "p99", "ms", milliseconds(report.Percentile(took, 99)))
	r.record("endpoint change", "cpu each", "ms", milliseconds(after-before)/float64(r.changes))
	fmt.Fprintf(os.Stderr, "  %d changes, p50 %s, p99 %s\n", r.changes, report.Percentile(took, 50), report.Percentile(took, 99))
	return nil
}

func (r *run) detector() (detector, error) {
	if r.system.announced {
		return newAnnouncements(r.network.node)
	}
	pause := connectionPause
	if r.system.guest {
		pause = guestPause
	}
	return connections{r.network.client, pause}, nil
}

// oneChange returns the time from the write's beginning until the change is in force.
func (r *run) oneChange(ctx context.Context, detector detector) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	next, err := r.corpus.nextChange(ctx)
	if err != nil {
		return 0, err
	}
	found := detector.watch(ctx, next)
	written := time.Now()
	if err := r.corpus.apply(ctx, next); err != nil {
		return 0, err
	}
	select {
	case when := <-found:
		return when.Sub(written), nil
	case <-r.process.Ended():
		return 0, errors.New("the system ended")
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return 0, fmt.Errorf("endpoint %s of Service %s: %w after %s", next.address, serviceName(next.service), errUnfinished, changeTimeout)
		}
		return 0, ctx.Err()
	}
}

func (r *run) memory() error {
	for field, metric := range map[string]string{"VmRSS": "rss", "VmHWM": "rss peak"} {
		bytes, err := r.process.Memory(field)
		if err != nil {
			return err
		}
		r.record("memory", metric, "MB", float64(bytes)/1e6)
	}
	return nil
}

// ruleset records what the kernel has come to hold.
func (r *run) ruleset(ctx context.Context) error {
	s, err := r.rulesetSize(ctx)
	if err != nil {
		return err
	}
	r.record("ruleset", "rules", "count", float64(s.rules))
	r.record("ruleset", "chains", "count", float64(s.chains))
	r.record("ruleset", "elements", "count", float64(s.elements))
	if r.system.guest {
		r.record("ruleset", "virtual servers", "count", float64(s.servers))
		r.record("ruleset", "real servers", "count", float64(s.reals))
	}
	fmt.Fprintf(os.Stderr, "  %d rules, %d chains, %d elements\n", s.rules, s.chains, s.elements)
	return nil
}

// firstPackets opens connections one by one: to a pod directly, through the first Service and through the last one, in
// turns. The rest of a connection does not depend on the rules.
func (r *run) firstPackets() error {
	names := []string{"direct", "first Service", "last Service"}
	targets := []netip.AddrPort{pod(0, 0), frontend(0), frontend(r.corpus.services - 1)}
	took := make([][]time.Duration, len(targets))
	err := r.network.client.Do(func() error {
		for range firstPackets {
			for i, target := range targets {
				latency, err := firstPacket(target)
				if err != nil {
					return err
				}
				took[i] = append(took[i], latency)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open connections one by one: %w", err)
	}
	for i, name := range names {
		r.record("first packet", name+" p50", "us", microseconds(report.Percentile(took[i], 50)))
		r.record("first packet", name+" p99", "us", microseconds(report.Percentile(took[i], 99)))
	}
	fmt.Fprintf(os.Stderr, "  first packet p50: direct %s, first Service %s, last Service %s\n",
		report.Percentile(took[0], 50), report.Percentile(took[1], 50), report.Percentile(took[2], 50))
	return nil
}

// connectionRates connects through the first Service, through the last one, and to a pod directly, in turns.
func (r *run) connectionRates() error {
	last := r.corpus.services - 1
	names := []string{"connections direct", "connections first Service", "connections last Service"}
	targets := []netip.AddrPort{pod(0, 0), frontend(0), frontend(last)}
	rates := make([][]float64, len(targets))
	latencies := make([][]time.Duration, len(targets))
	load := load{count: loadCount, workers: loadWorkers, limit: loadDuration}
	for range loadRounds {
		for i, target := range targets {
			outcome, err := load.run(r.network.client, target)
			if err != nil {
				return fmt.Errorf("make connections: %w", err)
			}
			rates[i] = append(rates[i], outcome.perSecond)
			latencies[i] = append(latencies[i], outcome.latencies...)
		}
	}
	for i, name := range names {
		slices.Sort(rates[i])
		r.record(name, "rate", "1/s", rates[i][len(rates[i])/2])
		r.record(name, "p99", "us", float64(report.Percentile(latencies[i], 99).Microseconds()))
	}
	fmt.Fprintf(os.Stderr, "  connections: direct %.0f/s, first Service %.0f/s, last Service %.0f/s\n",
		rates[0][loadRounds/2], rates[1][loadRounds/2], rates[2][loadRounds/2])
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
