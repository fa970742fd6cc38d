package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/bench/report"
)

// results is what was measured.
type results struct{ rows []report.Row }

func (r *results) add(system string, ingresses int, name, metric, unit string, value float64) {
	r.rows = append(r.rows, report.Row{System: system, Case: name, Services: ingresses, Metric: metric, Unit: unit, Value: value})
}

// measure gives each system its turns, one after the other, so that what else the machine does meets all alike.
func (r *results) measure(ctx context.Context, o options, dir string, ingresses int) (err error) {
	wanted := o.wanted(ingresses)
	changes := strings.HasPrefix("changes", o.only)
	if len(wanted) == 0 && !changes {
		return nil
	}
	systems, err := startSystems(ctx, dir, ingresses)
	defer func() {
		for _, s := range systems {
			err = errors.Join(err, s.process.Stop())
		}
	}()
	if err != nil {
		return err
	}
	for _, l := range wanted {
		if err := r.load(ctx, o, dir, systems, l, ingresses); err != nil {
			return err
		}
	}
	for _, s := range systems {
		rss, err := s.process.Memory("VmRSS")
		if err != nil {
			return err
		}
		r.add(s.name, ingresses, "after the loads", "memory", "MB", float64(rss)/1e6)
	}
	if !changes {
		return nil
	}
	return r.changes(ctx, systems[0], ingresses)
}

// wanted are the loads for so many Ingresses.
func (o options) wanted(ingresses int) []load {
	all := loads()
	exact := slices.ContainsFunc(all, func(l load) bool { return l.name == o.only })
	return slices.DeleteFunc(all, func(l load) bool {
		return ingresses > 1 && !l.wide || exact && l.name != o.only || !strings.HasPrefix(l.name, o.only)
	})
}

// load measures one load for all systems.
func (r *results) load(ctx context.Context, o options, dir string, systems []*system, l load, ingresses int) error {
	host := hostOf(ingresses / 2)
	costs, rates := map[*system][]float64{}, map[*system][]float64{}
	late := map[*system][]time.Duration{}
	for round := range o.rounds {
		for _, s := range systems {
			fmt.Fprintf(os.Stderr, "%d Ingresses, %s, round %d of %d: %s\n", ingresses, l.name, round+1, o.rounds, s.name)
			before, err := s.process.CPU()
			if err != nil {
				return err
			}
			begun := time.Now()
			n, err := l.pound(ctx, dir, s, host, o.length)
			if err != nil {
				return err
			}
			took := time.Since(begun)
			after, err := s.process.CPU()
			if err != nil {
				return err
			}
			costs[s] = append(costs[s], (after-before).Seconds()*1e6/float64(n))
			rates[s] = append(rates[s], float64(n)/took.Seconds())
			if l.rate > 0 && round == 0 {
				if late[s], err = l.latencies(ctx, dir, s, host, o.length); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range systems {
		r.add(s.name, ingresses, l.name, "processor time", "us", median(costs[s]))
		r.add(s.name, ingresses, l.name, "rate", "/s", median(rates[s]))
		if l.rate > 0 {
			r.add(s.name, ingresses, l.name, fmt.Sprintf("p99 at %d/s", l.rate), "ms", report.Percentile(late[s], 99).Seconds()*1e3)
		}
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
