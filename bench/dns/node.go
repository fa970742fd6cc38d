package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/bench/process"
	"github.com/switchyard-net/switchyard/internal/lab"
)

const (
	nodeName = "bench-node"
	// quietCPU is the most that a node takes in a second once it has settled.
	quietCPU = 20 * time.Millisecond
)

// The link between the node and a pod.
var (
	podAddress = netip.MustParsePrefix("10.211.0.2/24")
	podGateway = netip.MustParsePrefix("10.211.0.1/24")
)

// nodeMemory measures what DNS adds to the memory of `switchyard node`, in turns with and without it.
func (r *run) nodeMemory(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelHostname: nodeName}}}
	created, err := r.control.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create Node %s: %w", nodeName, err)
	}
	created.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress.Addr().String()}}
	if _, err := r.control.Client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give Node %s its address: %w", nodeName, err)
	}
	rss := map[bool][]int64{}
	for range r.turns {
		for _, withDNS := range []bool{false, true} {
			bytes, err := r.nodeRSS(ctx, withDNS)
			if err != nil {
				return fmt.Errorf("measure a node, DNS %t: %w", withDNS, err)
			}
			rss[withDNS] = append(rss[withDNS], bytes)
		}
	}
	median := func(values []int64) float64 {
		return float64(slices.Sorted(slices.Values(values))[len(values)/2]) / 1e6
	}
	without, with := median(rss[false]), median(rss[true])
	s := system{name: "switchyard", mode: "node"}
	r.record(s, "memory of a node", "rss without DNS", "MB", without)
	r.record(s, "memory of a node", "rss with DNS", "MB", with)
	r.record(s, "memory of a node", "rss added by DNS", "MB", with-without)
	fmt.Fprintf(os.Stderr, "  a node has %.1f MB without DNS, %.1f MB with it\n", without, with)
	return nil
}

// nodeRSS starts a node, with DNS also loads it for a moment, and returns its memory when it has settled.
func (r *run) nodeRSS(ctx context.Context, withDNS bool) (_ int64, err error) {
	l, err := lab.New("bench-dns-node")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	node, err := l.NewNamespace("node")
	if err != nil {
		return 0, err
	}
	pod, err := l.NewNamespace("pod")
	if err != nil {
		return 0, err
	}
	end := func(p netip.Prefix, name string) lab.End { return lab.End{Name: name, Addresses: []netip.Prefix{p}} }
	err = errors.Join(
		r.control.LAN.Join(node, "eth0", nodeAddress),
		lab.Link(pod, node, lab.LinkOptions{A: end(podAddress, "eth0"), B: end(podGateway, "pod")}),
		pod.AddDefaultRoute(podGateway.Addr()),
		node.SetSysctl("net.ipv4.ip_forward", "1"),
	)
	if err != nil {
		return 0, err
	}
	p, err := r.startNode(ctx, node, withDNS)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := awaitHealthy(ctx, node, p); err != nil {
		return 0, errors.Join(err, p.Exited())
	}
	if withDNS {
		if err := r.loadNode(ctx, pod); err != nil {
			return 0, errors.Join(err, p.Exited())
		}
	}
	if err := awaitQuiet(ctx, p); err != nil {
		return 0, err
	}
	return p.Memory("VmRSS")
}

func (r *run) startNode(ctx context.Context, node *lab.Namespace, withDNS bool) (*process.Process, error) {
	path := filepath.Join(r.dir, "node.yaml")
	err := os.WriteFile(path, fmt.Appendf(nil, `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: %s
clientConnection: {kubeconfig: %q}
detectLocalMode: ClusterCIDR
clusterCIDR: %s
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, nodeName, r.control.Kubeconfig, podGateway.Masked()), 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the configuration of the node: %w", err)
	}
	args := []string{"node", "--config=" + path}
	if withDNS {
		args = append(args, "--dns")
	}
	return process.Start(node.Command(ctx, filepath.Join(r.binaries, "switchyard"), args...), filepath.Join(r.dir, "node.log"))
}

// awaitHealthy waits until all rules are in force.
func awaitHealthy(ctx context.Context, node *lab.Namespace, p *process.Process) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return node.Dial(ctx, network, to)
		},
	}}
	deadline := time.Now().Add(startTimeout)
	for {
		response, err := client.Get("http://127.0.0.1:10256/healthz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		select {
		case <-p.Ended():
			return errors.New("the node ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not healthy after %s: %w", startTimeout, err)
		}
	}
}

// loadNode asks the node's DNS at the Service's address for all Services, once it answers.
func (r *run) loadNode(ctx context.Context, pod *lab.Namespace) error {
	l := loads(r.services)[0]
	deadline := time.Now().Add(startTimeout)
	for {
		command := pod.Command(ctx, "dnsperf", "-s", dnsServiceIP.String(), "-p", strconv.Itoa(53), "-d", l.file(r.dir), "-l", "1", "-t", "1", "-q", "20")
		text, err := command.Output()
		o, reading := readDnsperf(string(text))
		if err == nil && reading == nil && o.lost == 0 && o.rcodes[l.rcode] == o.completed {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("the node does not answer at %s:\n%s", dnsServiceIP, text), err, reading)
		}
	}
}

// awaitQuiet waits until a process has done next to nothing for some seconds.
func awaitQuiet(ctx context.Context, p *process.Process) error {
	before, err := p.CPU()
	deadline := time.Now().Add(startTimeout)
	for quiet := 0; quiet < 3; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		now, failed := p.CPU()
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		if quiet++; now-before > quietCPU {
			quiet = 0
		}
		if before = now; time.Now().After(deadline) {
			return fmt.Errorf("the node does not settle within %s", startTimeout)
		}
	}
	return nil
}
