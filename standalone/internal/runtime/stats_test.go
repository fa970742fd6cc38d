package runtime_test

import (
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestStats(t *testing.T) {
	c := startServer(t, "")
	p := c.run("pod", nil)
	id := p.start("main", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; exec sleep 1000", nil)
	c.run("idle", nil)
	c.eventually("the work is done", func() bool { return p.log("main") != "" })
	one, err := c.ContainerStats(t.Context(), &cri.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	if s := one.GetStats(); s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 || s.GetMemory().GetWorkingSetBytes().GetValue() < 100<<10 {
		t.Errorf("container: %v", s)
	}
	all, err := c.ListContainerStats(t.Context(), &cri.ListContainerStatsRequest{})
	if err != nil || len(all.GetStats()) != 1 {
		t.Errorf("containers: %v, %v", all, err)
	}
	pod, err := c.PodSandboxStats(t.Context(), &cri.PodSandboxStatsRequest{PodSandboxId: p.id})
	if err != nil {
		t.Fatal(err)
	}
	linux := pod.GetStats().GetLinux()
	if linux.GetProcess().GetProcessCount().GetValue() != 1 || len(linux.GetContainers()) != 1 || linux.GetNetwork().GetDefaultInterface().GetName() != "eth0" {
		t.Errorf("pod: %v", linux)
	}
	pods, err := c.ListPodSandboxStats(t.Context(), &cri.ListPodSandboxStatsRequest{})
	if err != nil || len(pods.GetStats()) != 2 {
		t.Errorf("pods: %v, %v", pods, err)
	}
}
