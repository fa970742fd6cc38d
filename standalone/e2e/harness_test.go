package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// patience is how long tests wait for what should take seconds: the machine may be busy.
const patience = 2 * time.Minute

// poll is how often tests look.
const poll = 100 * time.Millisecond

// testCluster is a cluster in a data directory.
type testCluster struct {
	program string
	dir     string
	// host is the network that stands for the host's own; nil: the host's.
	host *lab.Namespace
}

// result is the outcome of a command.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit status %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, r.stdout, r.stderr)
}

// run runs switchyard-standalone on the cluster.
func (c *testCluster) run(ctx context.Context, stdin string, args ...string) result {
	args = append([]string{"--data-dir", c.dir}, args...)
	cmd := exec.CommandContext(ctx, c.program, args...)
	if c.host != nil {
		cmd = c.host.Command(ctx, c.program, args...)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	r := result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.code, r.stderr = -1, err.Error()
	}
	return r
}

// must runs switchyard-standalone and returns its standard output; the test fails unless it succeeds.
func (c *testCluster) must(t *testing.T, args ...string) string {
	t.Helper()
	r := c.run(t.Context(), "", args...)
	if r.code != 0 {
		t.Fatalf("%s", r)
	}
	return r.stdout
}

// kubectl runs the linked kubectl in a namespace; the test fails unless it succeeds.
func (c *testCluster) kubectl(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	return c.must(t, append([]string{"kubectl", "-n", namespace}, args...)...)
}

// apply applies a manifest in a namespace.
func (c *testCluster) apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	if r := c.run(t.Context(), manifest, "kubectl", "-n", namespace, "apply", "-f", "-"); r.code != 0 {
		t.Fatalf("%s", r)
	}
}

// client returns an administrator's client.
func (c *testCluster) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	spec, err := cluster.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := cluster.NewClient(spec)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// namespace makes a namespace for a test, which goes with it.
func (c *testCluster) namespace(t *testing.T) string {
	t.Helper()
	client := c.client(t)
	made, err := client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", c.run(context.Background(), "", "kubectl", "-n", made.Name, "get", "all,events", "-o", "wide"))
		}
		// Gone in its own time: other tests do not wait for it.
		if err := client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("delete namespace %s: %v", made.Name, err)
		}
	})
	eventually(t, "the namespace's default ServiceAccount", func() error {
		_, err := client.CoreV1().ServiceAccounts(made.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return made.Name
}

// newCluster starts a cluster of one node that only this test uses, and that goes with it.
func newCluster(t *testing.T) *testCluster {
	t.Helper()
	c := unusedDirectory(t)
	c.must(t, "up", "--timeout", patience.String())
	return c
}

// unusedDirectory returns a cluster that was not started, and stops it if the test does.
func unusedDirectory(t *testing.T) *testCluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "swy")
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{program: shared.program, dir: filepath.Join(dir, "own")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.lastLogs())
		}
		if r := c.run(context.Background(), "", "down", "--purge"); r.code != 0 {
			t.Errorf("%s", r)
		}
		if err := c.leftovers(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return c
}

// processes returns the recorded processes by name.
func (c *testCluster) processes(t *testing.T) map[string]cluster.Process {
	t.Helper()
	spec, err := cluster.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := spec.Processes()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]cluster.Process{}
	for _, p := range list {
		byName[p.Name] = p
	}
	return byName
}

// leftovers returns an error that lists what is there of a cluster that was stopped: processes, namespaces, mounts.
func (c *testCluster) leftovers() error {
	var found []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		command, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && bytes.Contains(command, []byte("--data-dir\x00"+c.dir+"\x00")) {
			found = append(found, "process "+entry.Name()+": "+string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	namespaces, err := filepath.Glob(filepath.Join(lab.Directory, "*"+cluster.ID(c.dir)+"*"))
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, c.dir) {
			found = append(found, "mount "+line)
		}
	}
	found = append(found, namespaces...)
	if len(found) > 0 {
		return fmt.Errorf("left by the cluster in %s:\n%s", c.dir, strings.Join(found, "\n"))
	}
	return nil
}

// lastLogs returns the ends of the processes' logs.
func (c *testCluster) lastLogs() string {
	files, err := filepath.Glob(filepath.Join(c.dir, "logs", "*"))
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fmt.Fprintf(&all, "--- %s\n%s\n", file, text[max(0, len(text)-4000):])
	}
	return all.String()
}

// eventually waits until check returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-tick.C:
		}
	}
}
