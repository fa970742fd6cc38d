package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// marker is an argument by which a container's process is found on the host.
const marker = "86399"

// startPod starts a pod whose process can be found by marker.
func (c *testCluster) startPod(t *testing.T) {
	t.Helper()
	manifest := strings.Replace(once("marked", "exec sleep "+marker, ""), "restartPolicy: Never", "restartPolicy: Always", 1)
	c.apply(t, "default", manifest)
	c.kubectl(t, "default", "wait", "pod/marked", "--for=condition=Ready", "--timeout", patience.String())
}

// marked returns the ids, on the host, of the processes of startPod's pod.
func marked(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, entry := range entries {
		command, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && string(command) == "sleep\x00"+marker+"\x00" {
			pids = append(pids, entry.Name())
		}
	}
	return pids
}

// kill ends a process of the cluster as the kernel would in need.
func (c *testCluster) kill(t *testing.T, name string) {
	t.Helper()
	p, found := c.processes(t)[name]
	if !found || !p.Alive() {
		t.Fatalf("process %s does not run", name)
	}
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// restarted waits until the supervisor has started a process again.
func (c *testCluster) restarted(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" started again", func() error {
		if p := c.processes(t)[name]; p.Restarts == 0 || !p.Alive() {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func TestKilledPartsComeBack(t *testing.T) {
	c := newCluster(t)
	c.startPod(t)

	c.kill(t, "control-plane")
	c.restarted(t, "control-plane")
	eventually(t, "the API server again", func() error {
		_, err := c.client(t).CoreV1().Pods("default").Get(t.Context(), "marked", metav1.GetOptions{})
		return err
	})
	before := marked(t)
	if len(before) != 1 {
		t.Fatalf("the pod's processes %v; want the one that does not need the API server", before)
	}

	c.kill(t, "node-1")
	eventually(t, "the pods of a killed node gone", func() error {
		for _, pid := range marked(t) {
			if pid == before[0] {
				return errors.New("process " + pid + " survives")
			}
		}
		return nil
	})
	c.restarted(t, "node-1")
	eventually(t, "the pod started again", func() error {
		if now := marked(t); len(now) != 1 {
			return fmt.Errorf("processes %v", now)
		}
		return nil
	})
}

func TestKilledSupervisorTakesAllWithIt(t *testing.T) {
	c := newCluster(t)
	c.startPod(t)
	c.kill(t, "supervisor")
	eventually(t, "everything ended", func() error {
		for name, p := range c.processes(t) {
			if p.Alive() {
				return errors.New(name + " is alive")
			}
		}
		if pids := marked(t); len(pids) > 0 {
			return fmt.Errorf("pod processes %v are alive", pids)
		}
		return nil
	})
	if r := c.run(t.Context(), "", "status"); r.code != 1 || !strings.Contains(r.stdout, "broken") {
		t.Errorf("%s\nwant status 1 and that it is broken", r)
	}
	// The next up clears and goes on with the data that is there.
	c.must(t, "up", "--timeout", patience.String())
	eventually(t, "the pod of before", func() error {
		if now := marked(t); len(now) != 1 {
			return fmt.Errorf("processes %v", now)
		}
		return nil
	})
}

func TestUpDownUp(t *testing.T) {
	c := newCluster(t)
	c.startPod(t)
	if r := c.run(t.Context(), "", "up"); r.code != 1 || !strings.Contains(r.stderr, "runs already") {
		t.Errorf("%s\nwant that it runs already", r)
	}
	c.must(t, "down")
	if err := c.leftovers(); err != nil {
		t.Error(err)
	}
	if pids := marked(t); len(pids) > 0 {
		t.Errorf("pod processes %v survive down", pids)
	}
	if r := c.run(t.Context(), "", "status"); r.code != 1 || !strings.Contains(r.stdout, "stopped") {
		t.Errorf("%s\nwant status 1 and that it is stopped", r)
	}
	c.must(t, "down") // a second time does no harm
	// Data stays, and another number of nodes is no obstacle.
	c.must(t, "up", "--nodes", "2", "--timeout", patience.String())
	if out := c.kubectl(t, "default", "get", "pod", "marked", "-o", "name"); out != "pod/marked\n" {
		t.Errorf("the pod of the first run: %q", out)
	}
	c.must(t, "down")
	c.must(t, "up", "--timeout", patience.String())
	if out := c.kubectl(t, "default", "get", "nodes", "-o", "name"); out != "node/node-1\n" {
		t.Errorf("nodes after going from two back to one: %q", out)
	}
}
