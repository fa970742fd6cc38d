package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/echo"
)

// The fixed facts of examples/my-nginx.
const (
	clusterIP = "10.96.0.80"
	nodePort  = "30090"
	replicas  = 3
)

// demo is one run.
type demo struct {
	cluster  cluster
	echo     string // path of switchyard, whose echo load counts who answers
	examples string
	out      transcript
	made     []string // what is on the machine since the cluster is up
}

type step struct {
	title string
	do    func(context.Context) error
}

func (d *demo) steps() []step {
	return []step{
		{"Start a cluster of two nodes", d.up},
		{"Apply examples/my-nginx", d.apply},
		{"The Services and their endpoints", d.services},
		{"How requests from a pod to the cluster IP spread", d.spread},
		{"The NodePort on both nodes, from outside", d.nodePorts},
		{"Service environment variables in a new pod", d.environment},
		{"A pod becomes unready", d.unready},
		{"A rolling update under load", d.rollingUpdate},
		{"The headless and the ExternalName Service", d.otherKinds},
		{"Names, as a pod resolves them", d.names},
		{"An Ingress: two Services by path and one by host, through a NodePort", d.ingress},
		{"nginx itself", d.nginx},
	}
}

// show runs a command of switchyard-standalone and prints it with its output as it comes.
func (d *demo) show(ctx context.Context, args ...string) error {
	d.out.command("switchyard-standalone " + strings.Join(args, " "))
	command := d.cluster.command(ctx, args...)
	command.Stdout, command.Stderr = d.out.out, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}

// kubectl runs kubectl and prints it with its output.
func (d *demo) kubectl(ctx context.Context, args ...string) (string, error) {
	d.out.command("kubectl " + strings.Join(args, " "))
	text, err := d.cluster.kubectl(ctx, args...)
	d.out.output(text)
	return text, err
}

func (d *demo) up(ctx context.Context) error {
	before, err := traces(d.cluster.dir)
	if err != nil {
		return err
	}
	if err := d.show(ctx, "up", "--nodes", "2"); err != nil {
		return err
	}
	after, err := traces(d.cluster.dir)
	d.made = missing(after, before)
	return err
}

func (d *demo) apply(ctx context.Context) error {
	for _, args := range [][]string{
		{"apply", "-f", filepath.Join(d.examples, "my-nginx")},
		{"rollout", "status", "deployment/my-nginx", "--timeout=180s"},
		{"rollout", "status", "statefulset/web", "--timeout=180s"},
		{"wait", "--for=condition=Ready", "pod/client", "--timeout=180s"},
	} {
		if _, err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) services(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "get", "services"); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "get", "endpointslices", "-o", "wide"); err != nil {
		return err
	}
	var service service
	if err := d.cluster.get(ctx, &service, "service", "my-nginx"); err != nil {
		return err
	}
	d.out.check("cluster IP of my-nginx", clusterIP, service.Spec.ClusterIP)
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	var addresses []string
	for _, pod := range pods {
		addresses = append(addresses, pod.Status.PodIP)
	}
	d.out.verdict("replicas", fmt.Sprint(replicas), fmt.Sprint(len(pods)), len(pods) == replicas)
	for _, name := range []string{"my-nginx", "my-nginx-nodeport"} {
		ready, err := d.endpoints(ctx, name)
		if err != nil {
			return err
		}
		d.out.check("ready endpoints of "+name+" (expected: the pods' addresses)", list(addresses), list(ready))
	}
	return nil
}

// load makes requests from the client pod, by the example server's own client.
func (d *demo) load(ctx context.Context, url string, flags ...string) (echo.Outcome, error) {
	args := append([]string{"exec", "client", "--", d.echo, "echo", "load", url, "--json"}, flags...)
	text, err := d.cluster.kubectl(ctx, args...)
	if err != nil {
		return echo.Outcome{}, err
	}
	var outcome echo.Outcome
	if err := json.Unmarshal([]byte(text), &outcome); err != nil {
		return echo.Outcome{}, fmt.Errorf("decode the outcome of a load: %w", err)
	}
	return outcome, nil
}

func (d *demo) spread(ctx context.Context) error {
	const requests = 300
	if _, err := d.kubectl(ctx, "exec", "client", "--", "curl", "-s", "http://"+clusterIP); err != nil {
		return err
	}
	d.out.command(fmt.Sprintf("kubectl exec client -- switchyard echo load http://%s --count %d", clusterIP, requests))
	outcome, err := d.load(ctx, "http://"+clusterIP, "--count", fmt.Sprint(requests))
	if err != nil {
		return err
	}
	least, most := requests, 0
	for pod, n := range outcome.Pods {
		d.out.output(fmt.Sprintf("%4d  %s", n, pod))
		least, most = min(least, n), max(most, n)
	}
	d.out.check("failed requests", "0", fmt.Sprint(outcome.Failed))
	d.out.check("pods that answered", fmt.Sprint(replicas), fmt.Sprint(len(outcome.Pods)))
	// 300 draws of one in three: a share outside of 60 to 140 would be five standard deviations away.
	d.out.verdict("requests a pod (even: 100)", "60 to 140", fmt.Sprintf("%d to %d", least, most), least >= 60 && most <= 140)
	return nil
}

func (d *demo) nodePorts(ctx context.Context) error {
	var nodes objects[node]
	if err := d.cluster.get(ctx, &nodes, "nodes"); err != nil {
		return err
	}
	d.out.check("nodes", "2", fmt.Sprint(len(nodes.Items)))
	for _, node := range nodes.Items {
		url := "http://" + node.internalIP() + ":" + nodePort
		d.out.command("switchyard-standalone exec client -- curl -s " + url)
		text, err := d.cluster.output(ctx, "exec", "client", "--", "curl", "-s", "--max-time", "5", url)
		d.out.output(text)
		seen := "no answer"
		if err == nil && strings.HasPrefix(text, "pod:     my-nginx-") {
			seen = "an answer of a my-nginx pod"
		}
		d.out.check("NodePort on "+node.Metadata.Name, "an answer of a my-nginx pod", seen)
	}
	return nil
}

func (d *demo) environment(ctx context.Context) error {
	args := []string{"run", "environment", "--image=busybox", "--restart=Never", "--command", "--", "env"}
	if _, err := d.kubectl(ctx, args...); err != nil {
		return err
	}
	done := "--for=jsonpath={.status.phase}=Succeeded"
	if _, err := d.cluster.kubectl(ctx, "wait", done, "pod/environment", "--timeout=60s"); err != nil {
		return err
	}
	text, err := d.cluster.kubectl(ctx, "logs", "environment")
	if err != nil {
		return err
	}
	d.out.command("kubectl logs environment | grep ^MY_NGINX_SERVICE")
	seen := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, "=")
		seen[name] = value
		if strings.HasPrefix(name, "MY_NGINX_SERVICE") {
			d.out.output(line)
		}
	}
	d.out.check("MY_NGINX_SERVICE_HOST", clusterIP, seen["MY_NGINX_SERVICE_HOST"])
	d.out.check("MY_NGINX_SERVICE_PORT", "80", seen["MY_NGINX_SERVICE_PORT"])
	return nil
}

func (d *demo) otherKinds(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "get", "services", "web", "elsewhere"); err != nil {
		return err
	}
	var headless, elsewhere service
	if err := d.cluster.get(ctx, &headless, "service", "web"); err != nil {
		return err
	}
	d.out.check("cluster IP of the headless Service", "None", headless.Spec.ClusterIP)
	var slices objects[endpointSlice]
	if err := d.cluster.get(ctx, &slices, "endpointslices", "-l", "kubernetes.io/service-name=web"); err != nil {
		return err
	}
	var names []string
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			names = append(names, endpoint.Hostname)
		}
	}
	d.out.check("host names in its EndpointSlice", "web-0 web-1", list(names))
	if err := d.cluster.get(ctx, &elsewhere, "service", "elsewhere"); err != nil {
		return err
	}
	d.out.check("external name", "www.example.com", elsewhere.Spec.ExternalName)
	d.out.check("cluster IP of the ExternalName Service", "none", cmp.Or(elsewhere.Spec.ClusterIP, "none"))
	return nil
}

// nginx shows examples/nginx where nginx is installed.
func (d *demo) nginx(ctx context.Context) error {
	if _, err := exec.LookPath("nginx"); err != nil {
		d.out.output("nginx is not installed on this machine; with it, examples/nginx is shown here")
		return nil
	}
	if _, err := d.kubectl(ctx, "apply", "-f", filepath.Join(d.examples, "nginx")); err != nil {
		return err
	}
	if _, err := d.kubectl(ctx, "rollout", "status", "deployment/nginx", "--timeout=60s"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for range 30 {
		text, err := d.cluster.kubectl(ctx, "exec", "client", "--", "curl", "-s", "--max-time", "5", "http://10.96.0.81")
		if err != nil {
			return err
		}
		if !seen[text] {
			d.out.output(text)
		}
		seen[text] = true
		if len(seen) == 2 {
			break
		}
	}
	d.out.check("pods of nginx that answered", "2", fmt.Sprint(len(seen)))
	return nil
}

// settle waits until a Service has this many ready endpoints.
func (d *demo) settle(ctx context.Context, name string, n int) error {
	what := fmt.Sprintf("Service %s has %d ready endpoints", name, n)
	return until(ctx, what, time.Minute, func(ctx context.Context) (bool, error) {
		ready, err := d.endpoints(ctx, name)
		return err == nil && len(ready) == n, err
	})
}
