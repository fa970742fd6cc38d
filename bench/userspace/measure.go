package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// turn is what one system did with one load for a while.
type turn struct {
	result
	cpu time.Duration
}

// rate is what the load is about, per second: bytes or connections.
func (t turn) rate() float64 { return float64(t.Bytes+t.Connections) / t.Seconds }

// cost is the processor time for each of them, in seconds.
func (t turn) cost() float64 { return t.cpu.Seconds() / max(1, float64(t.Bytes+t.Connections)) }

// loads are the kinds of load.
func loads() []string { return []string{"download", "upload", "connect"} }

// measurements are turns by load and system.
type measurements map[string]map[*system][]turn

// measure gives each system its turns, one after the other, so that what else the machine does meets all alike.
func measure(ctx context.Context, o options, n *network, systems []*system) (measurements, error) {
	m := measurements{}
	ports := map[string]uint16{"download": portDownload, "upload": portUpload, "connect": portConnect}
	for _, load := range loads() {
		m[load] = map[*system][]turn{}
		for round := range o.rounds {
			for _, s := range systems {
				fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s\n", load, round+1, o.rounds, s)
				t, err := s.turn(ctx, o, n, load, ports[load])
				if err != nil {
					return nil, err
				}
				m[load][s] = append(m[load][s], t)
			}
		}
	}
	return m, nil
}

func (s *system) turn(ctx context.Context, o options, n *network, load string, port uint16) (t turn, err error) {
	command, err := self(ctx, n.client, "-agent", load, "-to", s.to(port).String(), "-length", o.length.String())
	if err != nil {
		return t, err
	}
	before, err := s.cpu()
	if err != nil {
		return t, err
	}
	out, err := command.Output()
	if err != nil {
		return t, fmt.Errorf("%s of %s: %w", load, s, err)
	}
	after, err := s.cpu()
	if err != nil {
		return t, err
	}
	t.cpu = after - before
	if err := json.Unmarshal(out, &t.result); err != nil {
		return t, fmt.Errorf("%s of %s: %w", load, s, err)
	}
	if t.Failures > 0 || t.Bytes+t.Connections == 0 {
		return t, fmt.Errorf("%s of %s: %d failures, %d bytes, %d connections", load, s, t.Failures, t.Bytes, t.Connections)
	}
	return t, nil
}

// median returns that of a figure of some turns.
func median(turns []turn, figure func(turn) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = figure(t)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
