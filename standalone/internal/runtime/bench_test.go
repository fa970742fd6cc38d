package runtime_test

import (
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// BenchmarkPod makes and removes a pod with one container: the shim here is the test binary, whose start takes less
// than that of switchyard-standalone.
func BenchmarkPod(b *testing.B) {
	c := startServer(b, "")
	for b.Loop() {
		p := c.run("pod", nil)
		p.start("main", "exec sleep 1000", nil)
		if _, err := c.RemovePodSandbox(b.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSandbox is the part of BenchmarkPod that the network takes.
func BenchmarkSandbox(b *testing.B) {
	c := startServer(b, "")
	for b.Loop() {
		p := c.run("pod", nil)
		if _, err := c.RemovePodSandbox(b.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExecSync is an exec probe.
func BenchmarkExecSync(b *testing.B) {
	c := startServer(b, "")
	id := c.run("pod", nil).start("main", "exec sleep 1000", nil)
	for b.Loop() {
		c.exec(id, ":")
	}
}
