package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// corefile returns what is in the ConfigMap of the cluster DNS.
func (c *testCluster) corefile(t *testing.T) string {
	t.Helper()
	configMap, err := c.client(t).CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return configMap.Data["Corefile"]
}

// edit writes the Corefile into the ConfigMap.
func (c *testCluster) edit(ctx context.Context, t *testing.T, corefile string) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": corefile}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client(t).CoreV1().ConfigMaps("kube-system").Patch(ctx, "coredns", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// dig asks from a node or the client, and returns the first answer.
func (c *testCluster) dig(t *testing.T, from string, args ...string) (string, error) {
	t.Helper()
	r := c.run(t.Context(), "", append([]string{"exec", from, "--", "dig", "+short", "+tries=1", "+time=2"}, args...)...)
	first, _, _ := strings.Cut(r.stdout, "\n")
	if r.code != 0 || first == "" || strings.HasPrefix(first, ";") {
		return "", fmt.Errorf("no answer: %s", r)
	}
	return first, nil
}

// configMapEvent returns an error unless the ConfigMap has an event with this in its message, for each node.
func (c *testCluster) configMapEvent(t *testing.T, reason, message string) error {
	t.Helper()
	events, err := c.client(t).CoreV1().Events("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=ConfigMap,reason=" + reason})
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for _, e := range events.Items {
		if strings.Contains(e.Message, message) {
			said[e.Source.Host] = true
		}
	}
	if !said["node-1"] || !said["node-2"] {
		return fmt.Errorf("%d events %s, of which these say %q: %v", len(events.Items), reason, message, said)
	}
	return nil
}

func TestCorefileIsEditedInTheConfigMap(t *testing.T) {
	original := shared.corefile(t)
	t.Cleanup(func() { shared.edit(context.Background(), t, original) })
	const name, addr = "made-up.example.org", "192.0.2.80"
	kubernetes := "kubernetes.default.svc.cluster.local"

	broken := strings.Replace(original, "ttl 30", "ttl thirty", 1)
	shared.edit(t.Context(), t, broken)
	line := strings.Count(original[:strings.Index(original, "ttl 30")], "\n") + 1
	eventually(t, "an event that says where the error is", func() error {
		return shared.configMapEvent(t, "CorefileRefused", fmt.Sprintf("Corefile:%d", line))
	})
	if got, err := shared.dig(t, "node-1", "@172.30.0.11", kubernetes); err != nil || got != "10.96.0.1" {
		t.Errorf("with a Corefile that is refused: %s %v, want what the last good one answers", got, err)
	}

	good := strings.Replace(original, "    errors\n", "    errors\n    log\n    hosts {\n       "+addr+" "+name+"\n       fallthrough\n    }\n", 1)
	shared.edit(t.Context(), t, good)
	for _, node := range []string{"172.30.0.11", "172.30.0.12"} {
		eventually(t, "an answer by the new Corefile of "+node, func() error {
			got, err := shared.dig(t, "client", "@"+node, name)
			if err == nil && got != addr {
				return fmt.Errorf("%s", got)
			}
			return err
		})
	}
	eventually(t, "an event that the new one is served", func() error { return shared.configMapEvent(t, "CorefileServed", "") })
	eventually(t, "the question in the log", func() error {
		log, err := os.ReadFile(filepath.Join(shared.dir, "logs", "node-1.log"))
		if err == nil && !strings.Contains(string(log), `"A IN `+name+`. udp`) {
			return fmt.Errorf("not in the last part: %s", log[max(0, len(log)-1000):])
		}
		return err
	})
}

// TestDNSSurvivesFaults asks from outside, through node-1, the way that the packets of its pods take, which end with the node's process.
func TestDNSSurvivesFaults(t *testing.T) {
	for _, route := range [][]string{{"10.96.0.10", "via", "172.30.0.11"}, {"fd00:10:96::a", "via", "fd00:172:30::11"}} {
		shared.must(t, append([]string{"exec", "client", "--", "ip", "route", "add"}, route...)...)
		t.Cleanup(func() {
			shared.run(context.Background(), "", append([]string{"exec", "client", "--", "ip", "route", "del"}, route...)...)
		})
	}
	answered := func(when string, args ...string) {
		t.Helper()
		for _, how := range [][]string{{"@10.96.0.10"}, {"@10.96.0.10", "+tcp"}, {"@fd00:10:96::a"}} {
			if got, err := shared.dig(t, "client", append(append(how, args...), "kubernetes.default.svc.cluster.local")...); err != nil || got != "10.96.0.1" {
				t.Errorf("%s, %v: %s %v", when, how, got, err)
			}
		}
	}
	own := func() int { return shared.queries(t, "node-1", "10.96.0.10") }
	before := own()
	answered("with all processes")
	if n := own() - before; n < 2 {
		t.Errorf("node-1's server answered %d of the 2 questions that reached it by IPv4", n)
	}

	others := shared.queries(t, "node-2", "172.30.0.12")
	shared.kill(t, "node-1")
	answered("while node-1's process is dead")
	answered("while it starts")
	if n := shared.queries(t, "node-2", "172.30.0.12") - others; n < 2 {
		t.Errorf("node-2's server answered %d of the questions by IPv4 meanwhile", n)
	}
	shared.restarted(t, "node-1")
	eventually(t, "node-1's server again", func() error {
		before := own()
		answered("after the restart")
		if own() == before {
			return fmt.Errorf("answered elsewhere")
		}
		return nil
	})

	shared.kill(t, "control-plane")
	answered("without the API server")
	shared.restarted(t, "control-plane")
	eventually(t, "all nodes Ready again", func() error {
		if r := shared.run(t.Context(), "", "kubectl", "wait", "nodes", "--all", "--for=condition=Ready", "--timeout", "10s"); r.code != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}
