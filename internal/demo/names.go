package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The name and address that examples/outside has.
const (
	outsideName    = "www.example.com"
	outsideAddress = "203.0.113.80"
	outsideServer  = "172.30.0.3"
)

// names asks for Services of each type, pods and an outside name from the client pod.
func (d *demo) names(ctx context.Context) error {
	stop, err := d.startOutside(ctx)
	if err != nil {
		return err
	}
	defer stop()
	expose := []string{"expose", "deployment", "my-nginx", "--name=my-nginx-balanced", "--type=LoadBalancer", "--port=80", "--target-port=8080"}
	if _, err := d.kubectl(ctx, expose...); err != nil {
		return err
	}
	resolver, err := d.kubectl(ctx, "exec", "client", "--", "cat", "/etc/resolv.conf")
	if err != nil {
		return err
	}
	d.out.check("the pod's name server", "10.96.0.10", list(nameservers(resolver)))
	questions, err := d.questions(ctx)
	if err != nil {
		return err
	}
	for _, q := range questions {
		if err := d.ask(ctx, q); err != nil {
			return err
		}
	}
	return d.explainName(ctx)
}

// question is what dig is asked, and what it is to print.
type question struct {
	what string
	args []string
	want []string
}

// questions returns the questions, with the answers that the API server's objects call for.
func (d *demo) questions(ctx context.Context) ([]question, error) {
	var nodePort, balanced service
	if err := d.cluster.get(ctx, &nodePort, "service", "my-nginx-nodeport"); err != nil {
		return nil, err
	}
	if err := d.cluster.get(ctx, &balanced, "service", "my-nginx-balanced"); err != nil {
		return nil, err
	}
	var pods objects[pod]
	if err := d.cluster.get(ctx, &pods, "pods", "-l", "app=web"); err != nil {
		return nil, err
	}
	var all []string
	var ofPods []question
	for _, pod := range pods.Items {
		all = append(all, pod.Status.PodIP)
		name := pod.Metadata.Name + ".web"
		ofPods = append(ofPods, question{"a StatefulSet's pod by name, " + name, []string{name}, []string{pod.Status.PodIP}})
	}
	return append([]question{
		{"the ClusterIP Service my-nginx", []string{"my-nginx"}, []string{clusterIP}},
		{"the NodePort Service my-nginx-nodeport", []string{"my-nginx-nodeport"}, []string{nodePort.Spec.ClusterIP}},
		{"the LoadBalancer Service my-nginx-balanced", []string{"my-nginx-balanced"}, []string{balanced.Spec.ClusterIP}},
		{"the headless Service web", []string{"web"}, all},
		{"the ExternalName Service elsewhere", []string{"elsewhere"}, []string{outsideName + ".", outsideAddress}},
		{"an outside name, by forward to a server inside the lab", []string{outsideName + "."}, []string{outsideAddress}},
		{"the name of an address", []string{"-x", clusterIP}, []string{"my-nginx.default.svc.cluster.local."}},
		{"a name that nobody has", []string{"nobody"}, nil},
	}, ofPods...), nil
}

// ask asks one question from the client pod.
func (d *demo) ask(ctx context.Context, q question) error {
	text, err := d.kubectl(ctx, append([]string{"exec", "client", "--", "dig", "+search", "+short"}, q.args...)...)
	if err != nil {
		return err
	}
	d.out.check(q.what, list(q.want), list(strings.Fields(text)))
	return nil
}

// explainName shows how a pod comes to an answer.
func (d *demo) explainName(ctx context.Context) error {
	d.out.command("switchyard-standalone exec node-1 -- switchyard dns query web-0.web --from client --server 10.96.0.10")
	text, err := d.cluster.output(ctx, "exec", "node-1", "--", d.echo, "dns", "query", "web-0.web", "--from", "client", "--server", "10.96.0.10")
	if err != nil {
		return err
	}
	d.out.output(text)
	seen := "no such line"
	if strings.Contains(text, "of Service default/web (headless), in EndpointSlice default/web-") {
		seen = "an endpoint of Service default/web"
	}
	d.out.check("the object that the answer is from", "an endpoint of Service default/web", seen)
	return nil
}

// startOutside runs examples/outside where the client is, until stop is called.
func (d *demo) startOutside(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	corefile, err := filepath.Abs(filepath.Join(d.examples, "outside", "Corefile"))
	if err != nil {
		cancel()
		return nil, err
	}
	d.out.command("switchyard-standalone exec client -- switchyard dns --corefile examples/outside/Corefile &")
	server := d.cluster.command(ctx, "exec", "client", "--", d.echo, "dns", "--corefile", corefile)
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start the name server outside: %w", err)
	}
	stop = func() { cancel(); _ = server.Wait() } // it is stopped, never successful
	err = until(ctx, "the name server outside answers", time.Minute, func(ctx context.Context) (bool, error) {
		text, err := d.cluster.output(ctx, "exec", "client", "--", "dig", "@"+outsideServer, "+short", "+tries=1", "+time=1", outsideName)
		return strings.TrimSpace(text) == outsideAddress, err
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("%w\n%s", err, said.String())
	}
	return stop, nil
}

// nameservers returns those of a resolv.conf.
func nameservers(resolver string) []string {
	var found []string
	for line := range strings.Lines(resolver) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "nameserver" {
			found = append(found, fields[1])
		}
	}
	return found
}
