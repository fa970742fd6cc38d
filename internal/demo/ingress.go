package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// entryPort is the node port of HTTP in examples/ingress/entry.yaml.
const entryPort = "30080"

// ingress shows examples/ingress: two Services of one host by path and one by its own host, through a node port.
func (d *demo) ingress(ctx context.Context) error {
	commands := [][]string{{"apply", "-f", filepath.Join(d.examples, "ingress")}, {"-n", "ingress", "rollout", "status", "deployment/entry", "--timeout=180s"}}
	for _, name := range []string{"front", "cart", "docs"} {
		commands = append(commands, []string{"rollout", "status", "deployment/" + name, "--timeout=180s"})
	}
	for _, args := range commands {
		if _, err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	var nodes objects[node]
	if err := d.cluster.get(ctx, &nodes, "nodes"); err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if err := d.visit(ctx, node); err != nil {
			return err
		}
	}
	if err := d.ingressStatus(ctx, nodes.Items); err != nil {
		return err
	}
	program, err := filepath.Abs(d.echo)
	if err != nil {
		return err
	}
	d.out.command("kubectl -n ingress exec deploy/entry -- switchyard ingress routes --explain http://shop.example.com/cart/7")
	text, err := d.cluster.kubectl(ctx, "-n", "ingress", "exec", "deploy/entry", "--", program, "ingress", "routes", "--explain", "http://shop.example.com/cart/7")
	d.out.output(text)
	return err
}

// visit asks the entry for each route by one node.
func (d *demo) visit(ctx context.Context, node node) error {
	for _, route := range []struct{ host, path, service string }{
		{"shop.example.com", "/", "front"}, {"shop.example.com", "/cart/7", "cart"}, {"docs.example.com", "/", "docs"},
	} {
		url := "http://" + node.internalIP() + ":" + entryPort + route.path
		d.out.command(fmt.Sprintf("switchyard-standalone exec client -- curl -s -H 'Host: %s' %s", route.host, url))
		text, err := d.cluster.output(ctx, "exec", "client", "--", "curl", "-s", "--max-time", "5", "-H", "Host: "+route.host, url)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(text, "\n")
		d.out.output(first)
		seen, _, _ := strings.Cut(strings.TrimPrefix(first, "pod:     "), "-")
		d.out.check(fmt.Sprintf("who answers %s%s on %s", route.host, route.path, node.Metadata.Name), "a pod of "+route.service, "a pod of "+seen)
	}
	return nil
}

// ingressStatus waits for what the entry writes about the Ingress, and shows it.
func (d *demo) ingressStatus(ctx context.Context, nodes []node) error {
	var expected []string
	for _, node := range nodes {
		expected = append(expected, node.internalIPs()...)
	}
	var seen []string
	err := until(ctx, "the Ingress has addresses", time.Minute, func(ctx context.Context) (bool, error) {
		var shop ingress
		err := d.cluster.get(ctx, &shop, "ingress", "shop")
		seen = nil
		for _, a := range shop.Status.LoadBalancer.Ingress {
			seen = append(seen, a.IP)
		}
		return len(missing(seen, expected)) == 0 && len(seen) > 0, err
	})
	if err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "get", "ingress", "shop"); err != nil {
		return err
	}
	d.out.verdict("addresses of the Ingress", "of the nodes that the entry runs on, of "+list(expected), list(seen), len(missing(seen, expected)) == 0)
	text, err := d.kubectl(ctx, "get", "events", "--field-selector", "involvedObject.name=shop", "-o", "custom-columns=REASON:.reason,MESSAGE:.message", "--no-headers")
	if err != nil {
		return err
	}
	const expectedEvent = "InForce serves 3 paths of 2 hosts"
	said := "none"
	for line := range strings.Lines(text) {
		if strings.Join(strings.Fields(line), " ") == expectedEvent {
			said = expectedEvent
		}
	}
	d.out.check("Event on the Ingress", expectedEvent, said)
	return nil
}
