package node

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
)

// machine answers the kubelet's questions about the machine in cAdvisor's place, which would gather statistics of every
// cgroup there is. Containers have none, so what it says of them is nothing, as upstream's stand-in for tests does.
type machine struct {
	cadvisortest.Fake
	dir string // on the file system that pods write to
}

var _ cadvisor.Interface = (*machine)(nil)

// newMachine returns the machine as seen by a node whose files are below dir.
func newMachine(dir string) *machine { return &machine{dir: dir} }

// MachineInfo tells the machine's size. Every node has all of it: what the scheduler counts with is equal on all nodes,
// and nothing is enforced.
func (m *machine) MachineInfo(klog.Logger) (*cadvisorapi.MachineInfo, error) {
	memory, err := memoryInfo()
	if err != nil {
		return nil, err
	}
	return &cadvisorapi.MachineInfo{
		NumCores:       runtime.NumCPU(),
		MemoryCapacity: memory["MemTotal"],
		MachineID:      line("/etc/machine-id"),
		SystemUUID:     line("/sys/class/dmi/id/product_uuid"),
		BootID:         line("/proc/sys/kernel/random/boot_id"),
	}, nil
}

// ContainerInfoV2 tells what the machine as a whole uses, under the name of the root cgroup. There is no other.
func (m *machine) ContainerInfoV2(name string, _ cadvisorapi.RequestOptions) (map[string]cadvisorapi.ContainerInfo, error) {
	if name != "/" {
		return nil, fmt.Errorf("statistics of cgroup %q: only those of the whole machine are kept", name)
	}
	memory, err := memoryInfo()
	if err != nil {
		return nil, err
	}
	used := memory["MemTotal"] - memory["MemAvailable"]
	info := cadvisorapi.ContainerInfo{
		Spec: cadvisorapi.ContainerSpec{HasMemory: true, Memory: cadvisorapi.MemorySpec{Limit: memory["MemTotal"]}},
		Stats: []*cadvisorapi.ContainerStats{{
			Timestamp: time.Now(),
			Memory:    &cadvisorapi.MemoryStats{Usage: used, WorkingSet: used, RSS: memory["AnonPages"]},
		}},
	}
	return map[string]cadvisorapi.ContainerInfo{name: info}, nil
}

// VersionInfo tells the kernel's and the distribution's versions.
func (m *machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	return &cadvisorapi.VersionInfo{
		KernelVersion:      line("/proc/sys/kernel/osrelease"),
		ContainerOsVersion: distribution(),
	}, nil
}

// RootFsInfo tells the size of the file system that pods write to.
func (m *machine) RootFsInfo() (cadvisorapi.FsInfo, error) { return m.GetDirFsInfo(m.dir) }

// ImagesFsInfo is RootFsInfo: images have no file system of their own.
func (m *machine) ImagesFsInfo(context.Context) (cadvisorapi.FsInfo, error) { return m.RootFsInfo() }

// ContainerFsInfo is RootFsInfo.
func (m *machine) ContainerFsInfo(context.Context) (cadvisorapi.FsInfo, error) { return m.RootFsInfo() }

// GetDirFsInfo tells the size of the file system that holds a directory, in bytes.
func (m *machine) GetDirFsInfo(path string) (cadvisorapi.FsInfo, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return cadvisorapi.FsInfo{}, fmt.Errorf("size of the file system of %s: %w", path, err)
	}
	block := uint64(stat.Bsize)
	inodes, free := stat.Files, stat.Ffree
	return cadvisorapi.FsInfo{
		Device:     path,
		Mountpoint: path,
		Capacity:   stat.Blocks * block,
		Available:  stat.Bavail * block,
		Usage:      (stat.Blocks - stat.Bfree) * block,
		Inodes:     &inodes,
		InodesFree: &free,
	}, nil
}

// memoryInfo returns the fields of /proc/meminfo (proc(5)) in bytes.
func memoryInfo() (map[string]uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	values := map[string]uint64{}
	for entry := range strings.Lines(string(text)) {
		fields := strings.Fields(entry)
		if len(fields) < 2 {
			continue
		}
		kibibytes, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("parse /proc/meminfo: %w", err)
		}
		values[strings.TrimSuffix(fields[0], ":")] = kibibytes << 10
	}
	return values, nil
}

// line returns the first line of a file, or nothing if it cannot be read: what it is for is only shown.
func line(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(data), "\n")
	return first
}

// distribution returns the PRETTY_NAME of os-release(5).
func distribution() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for entry := range strings.Lines(string(data)) {
		if name, found := strings.CutPrefix(entry, "PRETTY_NAME="); found {
			return strings.Trim(strings.TrimSpace(name), `"`)
		}
	}
	return "Linux"
}
