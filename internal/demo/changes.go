package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/echo"
)

// background is a load that goes on beside a step.
type background struct {
	outcome echo.Outcome
	err     error
	done    chan struct{}
}

func (d *demo) startLoad(ctx context.Context, url string, flags ...string) *background {
	b := &background{done: make(chan struct{})}
	go func() {
		b.outcome, b.err = d.load(ctx, url, flags...)
		close(b.done)
	}()
	return b
}

// running reports whether the load has not ended yet.
func (b *background) running() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

func (b *background) wait() (echo.Outcome, error) {
	<-b.done
	return b.outcome, b.err
}

// slowest is how long the kernel may go on sending to a pod that the API calls unready.
const slowest = time.Second

func (d *demo) unready(ctx context.Context) error {
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	victim := pods[0]
	flags := []string{"--for", "12s", "--every", "1ms", "--workers", "2"}
	d.out.command("kubectl exec client -- switchyard echo load http://" + clusterIP + " " + strings.Join(flags, " ") + " &")
	load := d.startLoad(ctx, "http://"+clusterIP, flags...)
	told, at, err := d.turnUnready(ctx, victim)
	if err != nil {
		return err
	}
	if err := d.settle(ctx, "my-nginx", replicas-1); err != nil {
		return err
	}
	ready, err := d.endpoints(ctx, "my-nginx")
	if err != nil {
		return err
	}
	d.out.check("ready endpoints without "+victim.Status.PodIP, fmt.Sprint(replicas-1), fmt.Sprint(len(missing(ready, []string{victim.Status.PodIP}))))
	d.out.check("load still running, so that it saw the change", "true", fmt.Sprint(load.running()))
	outcome, err := load.wait()
	if err != nil {
		return err
	}
	last, ok := outcome.Last[victim.Metadata.Name]
	if !ok {
		return fmt.Errorf("pod %s answered no request while it was ready", victim.Metadata.Name)
	}
	d.out.output(fmt.Sprintf("told to be unready at 0 ms; kubectl's watch showed it unready at %d ms; its last request began at %d ms",
		at.Sub(told).Milliseconds(), last.Sub(told).Milliseconds()))
	late := max(last.Sub(at), 0)
	d.out.verdict("the kernel stopped sending to it, after the API called it unready", fmt.Sprintf("less than %d ms later", slowest.Milliseconds()),
		fmt.Sprintf("%d ms later", late.Milliseconds()), late < slowest)
	d.out.check(fmt.Sprintf("failed requests of %d", outcome.Requests), "0", fmt.Sprint(outcome.Failed))
	if err := d.setReady(ctx, victim, true); err != nil {
		return err
	}
	if err := d.settle(ctx, "my-nginx", replicas); err != nil {
		return err
	}
	d.out.output("ready again, and back in the endpoints")
	return nil
}

// turnUnready makes a pod unready, and returns when it was told so and when the API showed it.
func (d *demo) turnUnready(ctx context.Context, victim pod) (told, shown time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	path := `jsonpath={.status.conditions[?(@.type=="Ready")].status}{"\n"}`
	lines, err := d.cluster.follow(ctx, "kubectl", "get", "pod", victim.Metadata.Name, "--watch", "-o", path)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	for line := range lines {
		switch {
		case line.text == "True" && told.IsZero():
			told = time.Now()
			if err := d.setReady(ctx, victim, false); err != nil {
				return time.Time{}, time.Time{}, err
			}
		case line.text == "False" && !told.IsZero():
			return told, line.at, nil
		}
	}
	return time.Time{}, time.Time{}, fmt.Errorf("pod %s did not become unready in time", victim.Metadata.Name)
}

func (d *demo) setReady(ctx context.Context, victim pod, ok bool) error {
	url := fmt.Sprintf("http://%s:8080/ready?ok=%t", victim.Status.PodIP, ok)
	_, err := d.kubectl(ctx, "exec", "client", "--", "curl", "-s", "-X", "POST", url)
	return err
}

func (d *demo) rollingUpdate(ctx context.Context) error {
	flags := []string{"--for", "40s", "--every", "2ms", "--workers", "2"}
	d.out.command("kubectl exec client -- switchyard echo load http://" + clusterIP + " " + strings.Join(flags, " ") + " &")
	load := d.startLoad(ctx, "http://"+clusterIP, flags...)
	before, err := d.pods(ctx)
	if err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "set", "env", "deployment/my-nginx", "RELEASE=2"); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "rollout", "status", "deployment/my-nginx", "--timeout=120s"); err != nil {
		return err
	}
	d.out.check("load still running, so that it saw the whole update", "true", fmt.Sprint(load.running()))
	after, err := d.pods(ctx)
	if err != nil {
		return err
	}
	d.out.check("new pods", fmt.Sprint(replicas), fmt.Sprint(len(missing(names(after), names(before)))))
	outcome, err := load.wait()
	if err != nil {
		return err
	}
	for pod, n := range outcome.Pods {
		d.out.output(fmt.Sprintf("%6d  %s", n, pod))
	}
	for reason, n := range outcome.Errors {
		d.out.output(fmt.Sprintf("%6d  failed: %s", n, reason))
	}
	d.out.check("pods that answered, old and new", fmt.Sprint(2*replicas), fmt.Sprint(len(outcome.Pods)))
	d.out.check(fmt.Sprintf("failed requests of %d", outcome.Requests), "0", fmt.Sprint(outcome.Failed))
	return nil
}

func names(pods []pod) []string {
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Metadata.Name)
	}
	return names
}
