package runtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// startNode runs a runtime in a process of its own, in a network namespace of its own that lasts as long as the test.
func startNode(t *testing.T, root string) (*exec.Cmd, *client) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", nodeArg, root)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := &client{t: t}
	socket := filepath.Join(root, "cri.sock")
	c.eventually("the node serves", func() bool {
		conn, err := dialUnix(socket)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	return cmd, dial(t, socket)
}

func TestCrash(t *testing.T) {
	root := t.TempDir()
	node, c := startNode(t, root)
	for _, mode := range []cri.NamespaceMode{cri.NamespaceMode_CONTAINER, cri.NamespaceMode_POD, cri.NamespaceMode_NODE} {
		p := c.run("pod-"+strings.ToLower(mode.String()), func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = mode
			c.PortMappings = []*cri.PortMapping{{HostPort: 6000 + int32(mode), ContainerPort: 80}}
		})
		p.start("root", "sleep 876543; true", nil)
		// The kernel forgets a parent-death signal when the user changes.
		p.start("user", "sleep 876543; true", func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1234} })
	}
	c.eventually("the containers run", func() bool { return len(processes("876543")) >= 6 })
	if err := node.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = node.Wait()
	c.eventually("the shims' commands are gone", func() bool { return len(processes("sleep 876543; true")) == 0 })

	_, c = startNode(t, root)
	if left := processes("876543"); len(left) > 0 {
		t.Errorf("processes outlived the node: %v", left)
	}
	sandboxes, err := c.ListPodSandbox(t.Context(), &cri.ListPodSandboxRequest{})
	if err != nil || len(sandboxes.GetItems()) > 0 {
		t.Errorf("sandboxes after the restart: %v, %v", sandboxes, err)
	}
	for _, dir := range []string{"sandboxes", "containers"} {
		if entries, err := os.ReadDir(filepath.Join(root, "runtime", dir)); err != nil || len(entries) > 0 {
			t.Errorf("%s after the restart: %v, %v", dir, entries, err)
		}
	}
	if links := strings.Join(linkNames(t), " "); strings.Contains(links, "swp") {
		t.Errorf("interfaces after the restart: %s", links)
	}
	// The ring goes on where the dead runtime was.
	if p := c.run("new", nil); p.v4 != "10.244.7.5" {
		t.Errorf("the new pod has the address %s, want the one after the dead pods'", p.v4)
	}
}

func linkNames(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStopLeavesNothing(t *testing.T) {
	root := t.TempDir()
	node, c := startNode(t, root)
	c.run("pod", nil).start("main", "exec sleep 876542", nil)
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := node.Wait(); err != nil {
		t.Errorf("the node's end: %v", err)
	}
	if left := processes("876542"); len(left) > 0 {
		t.Errorf("processes: %v", left)
	}
	files, err := filepath.Glob(filepath.Join(root, "runtime", "*", "*"))
	if err != nil || len(files) > 0 {
		t.Errorf("files: %v, %v", files, err)
	}
	if links := strings.Join(linkNames(t), " "); strings.Contains(links, "swp") {
		t.Errorf("interfaces: %s", links)
	}
}
