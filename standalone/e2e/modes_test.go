package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// TestEveryProxyModeServesTheExample starts the example in the first mode, and takes the one node through the others, as an
// administrator does: the configuration names another mode, and the node's process starts again.
func TestEveryProxyModeServesTheExample(t *testing.T) {
	c := unusedDirectory(t)
	corefile := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(corefile, []byte(".:53 {\n    kubernetes cluster.local\n    hosts {\n        192.0.2.9 fixed.example\n        fallthrough\n    }\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.must(t, "up", "--proxy-mode", "auto", "--corefile", corefile, "--timeout", patience.String())
	c.must(t, "kubectl", "apply", "-f", filepath.Join(filepath.Dir(filepath.Dir(shared.program)), "examples", "my-nginx"))
	c.kubectl(t, "default", "wait", "pods", "--all", "--for=condition=Ready", "--timeout", patience.String())
	restarts := 0
	for _, mode := range []struct{ flag, runs string }{{"auto", "nftables"}, {"iptables", "iptables"}, {"userspace", "userspace"}, {"nftables", "nftables"}} {
		if c.spec(t).ProxyMode != mode.flag {
			c.changeMode(t, mode.flag)
			restarts++
			c.restartedTimes(t, "node-1", restarts)
		}
		eventually(t, "mode "+mode.flag, func() error {
			r := c.run(t.Context(), "", "exec", "node-1", "--", "curl", "-sS", "--max-time", "5", "http://127.0.0.1:10249/proxyMode")
			if said, _, _ := strings.Cut(r.stdout, "\n"); said != mode.runs {
				return fmt.Errorf("%s", r)
			}
			return nil
		})
		for from, url := range map[string]string{"node-1": "http://10.96.0.80", "client": "http://172.30.0.11:30090"} {
			eventually(t, mode.flag+": "+url, func() error { return c.answers(t, from, url) })
		}
		for _, server := range []string{"10.96.0.10", "fd00:10:96::a"} {
			eventually(t, mode.flag+": names by "+server, func() error {
				r := c.run(t.Context(), "", "kubectl", "exec", "client", "--", "dig", "@"+server, "+short", "+tries=1", "+time=2", "fixed.example",
					"my-nginx.default.svc.cluster.local")
				if r.stdout != "192.0.2.9\n10.96.0.80\n" {
					return fmt.Errorf("%s", r)
				}
				return nil
			})
		}
	}
}

// answers returns an error unless every one of some requests is answered.
func (c *testCluster) answers(t *testing.T, from, url string) error {
	t.Helper()
	script := fmt.Sprintf("for i in 1 2 3 4 5; do curl -sS --fail --max-time 5 -o /dev/null %s || exit 1; done", url)
	if r := c.run(t.Context(), "", "exec", from, "--", "sh", "-c", script); r.code != 0 {
		return fmt.Errorf("%s", r)
	}
	return nil
}

// spec returns the cluster's own file.
func (c *testCluster) spec(t *testing.T) *cluster.Spec {
	t.Helper()
	spec, err := cluster.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// changeMode names another proxy mode in the cluster's file and ends the node's process, which starts again.
func (c *testCluster) changeMode(t *testing.T, mode string) {
	t.Helper()
	spec := c.spec(t)
	spec.ProxyMode = mode
	if err := spec.Save(); err != nil {
		t.Fatal(err)
	}
	c.kill(t, "node-1")
}

// restartedTimes waits until the supervisor has started a process that often again.
func (c *testCluster) restartedTimes(t *testing.T, name string, times int) {
	t.Helper()
	eventually(t, name+" started again", func() error {
		if p := c.processes(t)[name]; p.Restarts < times || !p.Alive() {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

// TestImpossibleProxyModeIsRefused needs a kernel without IPVS.
func TestImpossibleProxyModeIsRefused(t *testing.T) {
	if _, err := os.Stat("/proc/net/ip_vs"); err == nil {
		t.Skip("this kernel has IPVS")
	}
	nowhere := &testCluster{program: shared.program, dir: filepath.Join(t.TempDir(), "x")}
	r := nowhere.run(t.Context(), "", "up", "--proxy-mode", "ipvs")
	if r.code == 0 || !strings.Contains(r.stderr, "the kernel has no IPVS (CONFIG_IP_VS, module ip_vs)") || !strings.Contains(r.stderr, `"auto"`) {
		t.Errorf("%s\nwant one sentence that names what is missing and the way out", r)
	}
	if strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
		t.Errorf("the message has several lines:\n%s", r.stderr)
	}
}
