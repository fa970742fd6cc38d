package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/bench/churn"
	"github.com/switchyard-net/switchyard/bench/report"
)

const (
	// changeTimeout bounds the time from a write to its answer.
	changeTimeout = 30 * time.Second
	// pollPause is between two questions: the resolution of what is measured.
	pollPause = 200 * time.Microsecond
)

// changesOfEach measures what changes cost, with each server alone.
func (r *run) changesOfEach(ctx context.Context) error {
	for _, s := range []system{coredns, switchyard} {
		if err := r.changesOf(ctx, s); err != nil {
			return fmt.Errorf("change slices under %s: %w", s.name, err)
		}
	}
	return nil
}

func (r *run) changesOf(ctx context.Context, s system) (err error) {
	started, err := r.start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, started.Stop()) }()
	conn, err := r.dial(ctx, s)
	if err != nil {
		return err
	}
	defer conn.Close()
	var took []time.Duration
	for i := range r.writes {
		latency, err := r.change(ctx, &dns.Conn{Conn: conn}, i)
		if err != nil {
			return errors.Join(err, started.Exited())
		}
		took = append(took, latency)
	}
	const name = "slice write to answer"
	r.record(s, name, "p50", "ms", milliseconds(report.Percentile(took, 50)))
	r.record(s, name, "p99", "ms", milliseconds(report.Percentile(took, 99)))
	fmt.Fprintf(os.Stderr, "  %-30s %-11s p50 %s, p99 %s, max %s\n", name, s.name,
		report.Percentile(took, 50), report.Percentile(took, 99), report.Percentile(took, 100))
	if s != switchyard {
		return nil
	}
	return r.underChurn(ctx, s)
}

// change gives a headless Service another address, and returns the time from the beginning of the write to the first answer with it.
func (r *run) change(ctx context.Context, conn *dns.Conn, i int) (time.Duration, error) {
	service := headlessName(smallHeadless, i%headless)
	slices := r.control.Client.DiscoveryV1().EndpointSlices(namespace)
	slice, err := slices.Get(ctx, service+"-a", metav1.GetOptions{})
	if err != nil {
		return 0, fmt.Errorf("read the slice of %s: %w", service, err)
	}
	r.replaced++
	fresh := replacementAddress(r.replaced)
	slice.Endpoints[i%smallHeadless].Addresses[0] = fresh.String()
	packet, err := question(clusterName(service), dns.TypeA)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	type found struct {
		at  time.Time
		err error
	}
	answered := make(chan found, 1)
	go func() {
		at, err := awaitAddress(ctx, conn, packet, fresh)
		answered <- found{at, err}
	}()
	began := time.Now()
	if _, err := slices.Update(ctx, slice, metav1.UpdateOptions{}); err != nil {
		cancel()
		<-answered
		return 0, fmt.Errorf("write the slice of %s: %w", service, err)
	}
	f := <-answered
	if f.err != nil {
		return 0, fmt.Errorf("wait for %s at %s: %w", fresh, service, f.err)
	}
	return f.at.Sub(began), nil
}

// awaitAddress asks until an answer has the address.
func awaitAddress(ctx context.Context, conn *dns.Conn, packet []byte, want netip.Addr) (time.Time, error) {
	for {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(packet); err != nil {
			return time.Time{}, err
		}
		reply, err := conn.ReadMsg()
		now := time.Now()
		if err != nil {
			return time.Time{}, err
		}
		for _, rr := range reply.Answer {
			if a, ok := rr.(*dns.A); ok && a.A.Equal(net.IP(want.AsSlice())) {
				return now, nil
			}
		}
		time.Sleep(pollPause)
	}
}

// underChurn asks about Services that change all the time.
func (r *run) underChurn(ctx context.Context, s system) error {
	result, err := churn.Run(ctx, churn.Config{
		Client: r.control.Client, Namespace: namespace, Queries: r.queries,
		Dial: func(ctx context.Context) (net.Conn, error) { return r.dial(ctx, s) },
	})
	if err != nil {
		return fmt.Errorf("ask under churn: %w", err)
	}
	if bad := result.Bad(); bad != nil {
		fmt.Fprintln(os.Stderr, bad)
	}
	const name = "under churn"
	r.record(s, name, "questions", "count", float64(result.Queries))
	r.record(s, name, "changes", "count", float64(result.Changes))
	r.record(s, name, "wrong, stale or missing", "count", float64(result.Wrong+result.Stale+result.Missing))
	fmt.Fprintf(os.Stderr, "  %d questions while %d changes were made, in %s: %d wrong, %d stale, %d missing\n",
		result.Queries, result.Changes, result.Took.Round(time.Millisecond), result.Wrong, result.Stale, result.Missing)
	return nil
}
