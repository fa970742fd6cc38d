package node

import (
	"runtime"
	"testing"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"k8s.io/klog/v2"
)

func TestMachineTellsTheTruth(t *testing.T) {
	m := newMachine(t.TempDir())
	info, err := m.MachineInfo(klog.Background())
	if err != nil {
		t.Fatal(err)
	}
	if info.NumCores != runtime.NumCPU() || info.MemoryCapacity < 64<<20 || info.BootID == "" {
		t.Errorf("%d cores, %d bytes, boot %q", info.NumCores, info.MemoryCapacity, info.BootID)
	}
	containers, err := m.ContainerInfoV2("/", cadvisorapi.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	used := containers["/"].Stats[0].Memory.WorkingSet
	if used == 0 || used >= info.MemoryCapacity {
		t.Errorf("%d of %d bytes in use", used, info.MemoryCapacity)
	}
	if _, err := m.ContainerInfoV2("/some/cgroup", cadvisorapi.RequestOptions{}); err == nil {
		t.Error("statistics of a cgroup that nobody keeps")
	}
	fs, err := m.RootFsInfo()
	if err != nil || fs.Capacity == 0 || fs.Available > fs.Capacity {
		t.Errorf("file system: %+v, %v", fs, err)
	}
}

func TestCheckProxyMode(t *testing.T) {
	for mode, good := range map[string]bool{"": true, "nftables": true, "iptables": true, "userspace": true, "auto": true, "smoke": false} {
		if err := CheckProxyMode(t.Context(), mode); (err == nil) != good {
			t.Errorf("%q: %v; want it to be good: %v", mode, err, good)
		}
	}
}
