package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processOf returns the id, on the host, of the process of a pod of deployment.
func processOf(t *testing.T, pod string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		command, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline") // it may have ended
		environment, err := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if err == nil && bytes.HasSuffix(command, []byte("/switchyard\x00echo\x00")) &&
			bytes.Contains(append([]byte{0}, environment...), []byte("\x00HOSTNAME="+pod+"\x00")) {
			return pid
		}
	}
	t.Fatalf("pod %s has no process", pod)
	return 0
}

// TestHungPodGetsNoConnections stops the process of a pod, which its readiness probe does not notice, as the kernel goes on
// to accept connections for it.
func TestHungPodGetsNoConnections(t *testing.T) {
	ns := shared.namespace(t)
	made, pods := shared.startService(t, ns, deployment)
	url := "http://" + made.Spec.ClusterIP
	pid := processOf(t, pods[0])
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }() // it goes on already, unless the test failed
	eventually(t, "answers of the other pods alone", func() error { return shared.answeredBy(t, "node-1", url, pods[1:]) })
	event := func(reason string) {
		t.Helper()
		eventually(t, "an Event "+reason, func() error {
			if said := shared.kubectl(t, ns, "describe", "service", "web"); !strings.Contains(said, reason) {
				return fmt.Errorf("%s", said)
			}
			return nil
		})
	}
	event("EndpointQuarantined")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "answers of all pods", func() error { return shared.answeredBy(t, "node-1", url, pods) })
	event("EndpointAnswers")
}
