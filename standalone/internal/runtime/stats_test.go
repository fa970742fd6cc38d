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
	c.eventually("the work is seen", func() bool { // not in the moment of the exec, in which a process has no memory
		resp, err := c.ContainerStats(t.Context(), &cri.ContainerStatsRequest{ContainerId: id})
		if err != nil {
			t.Fatal(err)
		}
		s := resp.GetStats()
		return p.log("main") != "" && s.GetCpu().GetUsageCoreNanoSeconds().GetValue() > 0 && s.GetMemory().GetWorkingSetBytes().GetValue() > 0
	})
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
