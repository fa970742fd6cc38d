package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// named are Services of each type, a StatefulSet's pods, and a pod on node-1 that asks for them.
const named = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ipFamilyPolicy: RequireDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: port}
spec: {type: NodePort, ipFamilyPolicy: SingleStack, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, ipFamilyPolicy: SingleStack, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: www.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack, selector: {app: db}, ports: [{name: sql, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: db, image: switchyard/echo}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {topology.kubernetes.io/zone: a}
  containers: [{name: main, image: any/name, command: [sleep, infinity]}]
`

// lookupVariable makes the test binary print the addresses of a name, as Go's resolver finds them, and end.
const lookupVariable = "SWITCHYARD_E2E_LOOKUP"

// lookUp does so.
func lookUp(name string) int {
	addrs, err := (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Println(strings.Join(addrs, "\n"))
	return 0
}

// resolvers returns the commands, by the names of the resolvers, that print a name's addresses, one a line.
func resolvers(t *testing.T) map[string]func(name string) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "swyresolve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := func(compiler string) string {
		file := filepath.Join(dir, compiler)
		if out, err := exec.Command(compiler, "-o", file, "testdata/resolve.c").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s (`make deps` installs what the tests need)", err, out)
		}
		return file
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	musl, glibc := program("musl-gcc"), program("gcc")
	return map[string]func(string) []string{
		"dig": func(name string) []string {
			return []string{"dig", "+search", "+short", "+tries=1", "+time=5", name, "A", name, "AAAA"}
		},
		"glibc": func(name string) []string { return []string{glibc, name} },
		"musl":  func(name string) []string { return []string{musl, name} },
		"Go":    func(name string) []string { return []string{"env", lookupVariable + "=" + name, self} },
	}
}

// named applies named in a namespace of its own, and returns it when the client can ask.
func (c *testCluster) named(t *testing.T) (namespace string) {
	t.Helper()
	namespace = c.namespace(t)
	c.apply(t, namespace, named)
	c.kubectl(t, namespace, "rollout", "status", "statefulset/db", "--timeout", patience.String())
	c.kubectl(t, namespace, "wait", "pod/client", "--for=condition=Ready", "--timeout", patience.String())
	return namespace
}

// inPod runs a command in the client pod and returns what it prints, in order of the alphabet, and its exit status.
func (c *testCluster) inPod(t *testing.T, namespace string, command ...string) (lines []string, code int) {
	t.Helper()
	r := c.run(t.Context(), "", append([]string{"kubectl", "-n", namespace, "exec", "client", "--"}, command...)...)
	lines = strings.Fields(r.stdout)
	slices.Sort(lines)
	return slices.Compact(lines), r.code
}

// addresses returns the addresses of the Services and pods of named by the names that the client may use for them.
func (c *testCluster) addresses(t *testing.T, namespace string) map[string][]string {
	t.Helper()
	all := map[string][]string{outsideName: {outsideIPv4, outsideIPv6}, "elsewhere": {outsideIPv4, outsideIPv6}}
	for _, name := range []string{"web", "port", "balanced"} {
		all[name] = c.service(t, namespace, name).Spec.ClusterIPs
	}
	pods, err := c.client(t).CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=db"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, ip := range pod.Status.PodIPs {
			all["db"] = append(all["db"], ip.IP)
			all[pod.Name+".db"] = append(all[pod.Name+".db"], ip.IP)
		}
	}
	all["web."+namespace] = all["web"]
	all["web."+namespace+".svc"] = all["web"]
	all["web."+namespace+".svc.cluster.local."] = all["web"]
	all["kubernetes.default"] = []string{"10.96.0.1"}
	all["www.example.com"] = all[outsideName]
	for name := range all {
		slices.Sort(all[name])
	}
	return all
}

func TestResolversOfPodsFindNames(t *testing.T) {
	startUpstream(t, shared)
	ns := shared.named(t)
	commands := resolvers(t)
	want := shared.addresses(t, ns)
	eventually(t, "the addresses of both pods", func() error {
		if got, _ := shared.inPod(t, ns, commands["dig"]("db")...); !slices.Equal(got, want["db"]) {
			return fmt.Errorf("%v, want %v", got, want["db"])
		}
		return nil
	})
	for resolver, command := range commands {
		for name, want := range want {
			got, code := shared.inPod(t, ns, command(name)...)
			// dig shows aliases too: that of the Service elsewhere, and those by which the server walks the search list.
			got = slices.DeleteFunc(got, func(line string) bool { return strings.HasSuffix(line, ".") })
			if diff := cmp.Diff(want, got); diff != "" || code != 0 {
				t.Errorf("%s, %s: exit status %d (-want +got):\n%s", resolver, name, code, diff)
			}
		}
		for _, name := range []string{"nothing", "web.nowhere", "nothing.example.com"} {
			began := time.Now()
			got, code := shared.inPod(t, ns, command(name)...)
			if took := time.Since(began); len(got) > 0 || resolver != "dig" && code != 2 || took > 4*time.Second {
				t.Errorf("%s, %s: %v, exit status %d after %v; want nothing at once", resolver, name, got, code, took)
			}
		}
	}
}

func TestOtherRecords(t *testing.T) {
	ns := shared.named(t)
	zone := ns + ".svc.cluster.local"
	web := shared.service(t, ns, "web").Spec.ClusterIPs
	pod, err := shared.client(t).CoreV1().Pods(ns).Get(t.Context(), "db-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		question []string
		want     []string // words
	}{
		{[]string{"-x", web[0]}, []string{"web." + zone + "."}},
		{[]string{"-x", web[1]}, []string{"web." + zone + "."}},
		{[]string{"-x", pod.Status.PodIPs[0].IP}, []string{"db-0.db." + zone + "."}},
		{[]string{"-x", pod.Status.PodIPs[1].IP}, []string{"db-0.db." + zone + "."}},
		{[]string{"_http._tcp.web." + zone, "SRV"}, []string{"0", "50", "80", "web." + zone + "."}},
		{[]string{"elsewhere." + zone, "CNAME"}, []string{outsideName}},
		{[]string{"dns-version.cluster.local", "TXT"}, []string{`"1.1.0"`}},
		{[]string{"+tcp", "port." + zone}, []string{shared.service(t, ns, "port").Spec.ClusterIP}},
		{[]string{"@fd00:10:96::a", "-x", "10.96.0.10"}, []string{"kube-dns.kube-system.svc.cluster.local."}},
		{[]string{"@172.30.0.12", "kubernetes.default.svc.cluster.local"}, []string{"10.96.0.1"}},
	} {
		args := append([]string{"dig", "+short", "+tries=1"}, test.question...)
		slices.Sort(test.want)
		eventually(t, strings.Join(args, " "), func() error {
			if got, _ := shared.inPod(t, ns, args...); !slices.Equal(got, test.want) {
				return fmt.Errorf("%v, want %v", got, test.want)
			}
			return nil
		})
	}
}

// TestServerWalksTheSearchList counts the questions of a pod for an outside name, and those that leave the cluster.
func TestServerWalksTheSearchList(t *testing.T) {
	outside := startUpstream(t, shared)
	ns := shared.named(t)
	outside.take()
	before := shared.queries(t, "node-1", "10.96.0.10")
	there, missing := ns+freshDomain, ns+".example.com."
	if _, code := shared.inPod(t, ns, "getent", "ahosts", strings.TrimSuffix(there, ".")); code != 0 {
		t.Fatalf("getent: exit status %d", code)
	}
	if n := shared.queries(t, "node-1", "10.96.0.10") - before; n != 2 {
		t.Errorf("%d questions for an A and an AAAA record; the search list of 3 domains would make 8 of them", n)
	}
	if diff := cmp.Diff([]string{there + " A", there + " AAAA"}, outside.take()); diff != "" {
		t.Errorf("questions that left the cluster (-want +got):\n%s", diff)
	}
	shared.inPod(t, ns, "getent", "ahosts", there)
	for range 2 {
		shared.inPod(t, ns, "getent", "ahosts", strings.TrimSuffix(missing, "."))
	}
	if diff := cmp.Diff([]string{missing + " A", missing + " AAAA"}, outside.take()); diff != "" {
		t.Errorf("the answer, and that there is none, are kept; questions that left the cluster (-want +got):\n%s", diff)
	}
}

// queries returns how many questions a node's server has had at an address.
func (c *testCluster) queries(t *testing.T, node, address string) int {
	t.Helper()
	total := 0
	for line := range strings.Lines(c.must(t, "exec", node, "--", "curl", "-sS", "http://127.0.0.1:9153/metrics")) {
		if strings.HasPrefix(line, "coredns_dns_requests_total{") && strings.Contains(line, "dns://"+address+":53") {
			fields := strings.Fields(line)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatal(err)
			}
			total += int(value)
		}
	}
	return total
}

// TestNoNameServerOutside has nothing listen at the address that nodes forward to.
func TestNoNameServerOutside(t *testing.T) {
	ns := shared.named(t)
	for range 5 {
		began := time.Now()
		_, code := shared.inPod(t, ns, "getent", "ahosts", "unheard.example.com")
		if took := time.Since(began); code != 2 || took > 4*time.Second {
			t.Errorf("exit status %d after %v; want a failure at once", code, took)
		}
	}
	out, _ := shared.inPod(t, ns, "dig", "+tries=1", "unheard.example.com")
	if !slices.Contains(out, "SERVFAIL,") {
		t.Errorf("dig: %v; want SERVFAIL", out)
	}
}
