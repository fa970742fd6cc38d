package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestResolvConfOfEveryPolicy compares the resolv.conf of pods with what dns-pod-service.md of Kubernetes says.
func TestResolvConfOfEveryPolicy(t *testing.T) {
	ns := shared.namespace(t)
	search := fmt.Sprintf("search %s.svc.cluster.local svc.cluster.local cluster.local", ns)
	node := "nameserver 172.30.0.3"
	clusterFirst := []string{"nameserver 10.96.0.10", "options ndots:5", search}
	tests := map[string]struct {
		spec string // of the pod
		want []string
	}{
		"plain":         {"", clusterFirst},
		"host-network":  {"  hostNetwork: true", []string{node}},
		"host-cluster":  {"  hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet", clusterFirst},
		"default":       {"  dnsPolicy: Default", []string{node}},
		"none":          {"  dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.53], searches: [example.org]}", []string{"nameserver 192.0.2.53", "search example.org"}},
		"with-settings": {"  dnsConfig: {searches: [example.org], options: [{name: ndots, value: \"2\"}, {name: edns0}]}", []string{"nameserver 10.96.0.10", "options edns0 ndots:2", search + " example.org"}},
	}
	for name, test := range tests {
		shared.apply(t, ns, once(name, "cat /etc/resolv.conf", test.spec+"\n"))
	}
	for name, test := range tests {
		shared.kubectl(t, ns, "wait", "pod/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout", patience.String())
		got := strings.Split(strings.TrimSpace(shared.kubectl(t, ns, "logs", name)), "\n")
		for i, line := range got { // options have no order
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "options" {
				slices.Sort(fields[1:])
				got[i] = strings.Join(fields, " ")
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("resolv.conf of pod %s (-want +got):\n%s", name, diff)
		}
	}
}

// serviceVariables returns the lines of an environment that are about Services, in order.
func serviceVariables(env string) []string {
	var found []string
	for line := range strings.Lines(env) {
		name, _, _ := strings.Cut(line, "=")
		if strings.Contains(name, "_SERVICE_") || strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	slices.Sort(found)
	return found
}

// switchyard runs `switchyard` in a node's network.
func (c *testCluster) switchyard(t *testing.T, node string, args ...string) result {
	t.Helper()
	program := filepath.Join(filepath.Dir(c.program), "switchyard")
	return c.run(t.Context(), "", append([]string{"exec", node, "--", program}, args...)...)
}

func TestEnvironmentIsThatOfPods(t *testing.T) {
	ns := shared.named(t)
	for name, test := range map[string]struct{ spec, flag string }{
		"linked":   {"", "--service-links=true"},
		"unlinked": {"  enableServiceLinks: false\n", "--service-links=false"},
	} {
		shared.apply(t, ns, once(name, "env", test.spec))
		shared.kubectl(t, ns, "wait", "pod/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout", patience.String())
		want := serviceVariables(shared.kubectl(t, ns, "logs", name))
		r := shared.switchyard(t, "node-1", "env", "--namespace", ns, test.flag)
		if diff := cmp.Diff(want, serviceVariables(r.stdout)); diff != "" || r.code != 0 || len(want) == 0 {
			t.Errorf("%s: %s\n(-pod's +ours):\n%s", name, r, diff)
		}
		if linked := slices.ContainsFunc(want, func(v string) bool { return strings.HasPrefix(v, "WEB_SERVICE_HOST=") }); linked != (name == "linked") {
			t.Errorf("pod %s has %v", name, want)
		}
	}
}

func TestHostProcessSeesNamesAndVariables(t *testing.T) {
	ns := shared.named(t)
	web := shared.service(t, ns, "web").Spec
	r := shared.switchyard(t, "node-1", "env", "--namespace", ns, "--dns", "--", "sh", "-c", "echo $WEB_SERVICE_HOST; getent ahostsv4 web | sed -n 's/ *STREAM.*//p'")
	if want := web.ClusterIP + "\n" + web.ClusterIP + "\n"; r.stdout != want || r.code != 0 {
		t.Errorf("%s\nwant the address of the Service from both", r)
	}
	if r := shared.switchyard(t, "node-1", "env", "--namespace", "nowhere", "--", "true"); r.code == 0 || !strings.Contains(r.stderr, `no Namespace "nowhere"`) {
		t.Errorf("%s\nwant that there is no such Namespace", r)
	}
}

func TestQueryShowsTheSearchAndTheObjects(t *testing.T) {
	ns := shared.named(t)
	web := shared.service(t, ns, "web").Spec.ClusterIP
	for _, test := range []struct {
		args []string
		want []string // in the output, in this order
	}{
		{
			[]string{"kubernetes.default", "--from", ns + "/client", "--server", "10.96.0.10"},
			[]string{
				"1. kubernetes.default." + ns + ".svc.cluster.local. A", "NXDOMAIN", "there is no Service " + ns + "/default",
				"2. kubernetes.default.svc.cluster.local. A", "A 10.96.0.1", "object  Service default/kubernetes", "server  NOERROR, udp", "A 10.96.0.1",
			},
		},
		{[]string{web}, []string{"PTR web." + ns + ".svc.cluster.local.", "object  Service " + ns + "/web"}},
		{[]string{"db-0.db", "-n", ns}, []string{"1. db-0.db." + ns, "object  endpoint 10.244."}},
		{[]string{"db-0.db", "-n", ns, "--type", "AAAA"}, []string{"1. db-0.db." + ns, "object  endpoint fd00:10:244:"}},
		{[]string{"elsewhere", "-n", ns}, []string{"CNAME www.example.com.", "ExternalName www.example.com"}},
	} {
		r := shared.switchyard(t, "node-1", append([]string{"dns", "query"}, test.args...)...)
		rest := r.stdout
		for _, want := range test.want {
			_, after, found := strings.Cut(rest, want)
			if !found {
				t.Errorf("%s\nwant %q", r, want)
				break
			}
			rest = after
		}
	}
}
