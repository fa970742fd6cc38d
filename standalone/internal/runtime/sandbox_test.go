package runtime_test

import (
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestSandboxWithOneContainer(t *testing.T) {
	p := startServer(t, "").run("web", nil)
	if p.v4 != "10.244.7.2" || p.v6 != "fd00:10:244:7::2" {
		t.Errorf("addresses %s and %s, want the first ones of the pod networks", p.v4, p.v6)
	}
	id := p.start("main", "echo hello; exec sleep 1000", nil)
	if got := p.exec(id, "hostname; cat /etc/hostname; cat /etc/resolv.conf"); got !=
		"web\nweb\nsearch default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5" {
		t.Errorf("names in the pod:\n%s", got)
	}
	if got := p.exec(id, "cat /sys/class/net/eth0/mtu"); got != "1400" {
		t.Errorf("MTU %s, want 1400", got)
	}
	if got := p.log("main"); got != "stdout F hello\n" {
		t.Errorf("log:\n%s", got)
	}
	p.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: id, Timeout: 0})
	if s := p.container(id); s.GetExitCode() != 137 || s.GetReason() != "Error" {
		t.Errorf("after SIGKILL: exit code %d, reason %s", s.GetExitCode(), s.GetReason())
	}
	if _, err := p.StopPodSandbox(t.Context(), &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Error(err)
	}
	if s := p.status(); s.GetState() != cri.PodSandboxState_SANDBOX_NOTREADY || s.GetNetwork().GetIp() != "" {
		t.Errorf("after the stop: %v", s)
	}
}

func TestMissingCommand(t *testing.T) {
	p := startServer(t, "").run("web", nil)
	none := func(c *cri.ContainerConfig) {
		c.Image = &cri.ImageSpec{Image: "process:nowhere:latest", UserSpecifiedImage: "nowhere"}
		c.Command, c.Args = nil, nil
	}
	pull := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "nowhere:latest"}, SandboxConfig: p.config}
	if _, err := p.images.PullImage(t.Context(), pull); err != nil {
		t.Errorf("before a container was made: %v", err)
	}
	want := "stands for no command here: add it to the file given with --images or give the container a command"
	if _, err := p.create("main", "", none); err == nil || !strings.Contains(err.Error(), "image nowhere "+want) {
		t.Errorf("error %v, want one that says %q", err, want)
	}
	if _, err := p.images.PullImage(t.Context(), pull); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("pull: error %v, want one that says %q", err, want)
	}
}
