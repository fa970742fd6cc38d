package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// usage sums up the processes of a container. There are no cgroups: the kernel is asked about each process.
type usage struct {
	cpu         time.Duration // of the living and of those that they waited for
	rss         uint64        // bytes; memory that processes share counts for each
	faults      uint64
	majorFaults uint64
	processes   uint64
}

// clockTick is the unit of times in /proc, the same on every architecture that Linux and Go share (USER_HZ).
const clockTick = time.Second / 100

// Positions in what statFields returns: the number in proc_pid_stat(5), less 3.
const (
	statMinorFaults, statMajorFaults                = 7, 9
	statUser, statSystem, statChildUser, statChildS = 11, 12, 13, 14
	statRSS                                         = 21
)

// measure returns the usage of every running container by its ID. Its cost grows with the number of processes of the
// machine, not with the number of containers.
func (s *Server) measure() map[string]usage {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	owners := map[string]string{} // mount namespace to container ID
	used := map[string]usage{}
	for _, proc := range procs {
		id := s.owner(proc, owners)
		fields, err := statFields(proc)
		if id == "" || err != nil {
			continue
		}
		u := used[id]
		u.add(fields)
		used[id] = u
	}
	return used
}

// owner names the container that a process belongs to, by the upper layer of its root file system; "" if to none.
func (s *Server) owner(proc string, known map[string]string) string {
	link, err := os.Readlink(filepath.Join(proc, "ns/mnt"))
	if err != nil {
		return ""
	}
	if id, ok := known[link]; ok {
		return id
	}
	text, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return ""
	}
	known[link] = ""
	prefix := "upperdir=" + escapeMountInfo(filepath.Join(s.config.Root, containersDir)) + "/"
	if _, after, ok := strings.Cut(string(text), prefix); ok {
		known[link], _, _ = strings.Cut(after, "/")
	}
	return known[link]
}

// statFields are the fields of /proc/PID/stat from the third, the state, on.
func statFields(proc string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return nil, err
	}
	end := strings.LastIndexByte(string(text), ')') // the name may hold anything
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) <= statRSS {
		return nil, fmt.Errorf("%s/stat has %d fields after the name", proc, len(fields))
	}
	return fields, nil
}

func (u *usage) add(fields []string) {
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(fields[i], 10, 64) // the kernel writes numbers
		return n
	}
	ticks := number(statUser) + number(statSystem) + number(statChildUser) + number(statChildS)
	u.cpu += time.Duration(ticks) * clockTick
	u.rss += number(statRSS) * uint64(os.Getpagesize())
	u.faults += number(statMinorFaults) + number(statMajorFaults)
	u.majorFaults += number(statMajorFaults)
	u.processes++
}

// ContainerStats measures one container.
func (r *runtimeService) ContainerStats(_ context.Context, req *cri.ContainerStatsRequest) (*cri.ContainerStatsResponse, error) {
	c, err := r.mustContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &cri.ContainerStatsResponse{Stats: c.stats(r.measure()[c.id])}, nil
}

// ListContainerStats measures the running containers that match a filter.
func (r *runtimeService) ListContainerStats(_ context.Context, req *cri.ListContainerStatsRequest) (*cri.ListContainerStatsResponse, error) {
	used := r.measure()
	filter := &cri.ContainerFilter{
		Id: req.GetFilter().GetId(), PodSandboxId: req.GetFilter().GetPodSandboxId(), LabelSelector: req.GetFilter().GetLabelSelector(),
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	}
	resp := &cri.ListContainerStatsResponse{}
	for _, c := range r.containerList() {
		if matchContainer(c.item(), filter) {
			resp.Stats = append(resp.Stats, c.stats(used[c.id]))
		}
	}
	return resp, nil
}

// PodSandboxStats measures one pod.
func (r *runtimeService) PodSandboxStats(_ context.Context, req *cri.PodSandboxStatsRequest) (*cri.PodSandboxStatsResponse, error) {
	sb, ok := r.findSandbox(req.GetPodSandboxId())
	if !ok {
		return nil, fmt.Errorf("pod sandbox %q is not known", req.GetPodSandboxId())
	}
	return &cri.PodSandboxStatsResponse{Stats: r.podStats(sb, r.measure())}, nil
}

// ListPodSandboxStats measures the pods that match a filter.
func (r *runtimeService) ListPodSandboxStats(_ context.Context, req *cri.ListPodSandboxStatsRequest) (*cri.ListPodSandboxStatsResponse, error) {
	used := r.measure()
	filter := &cri.PodSandboxFilter{
		Id: req.GetFilter().GetId(), LabelSelector: req.GetFilter().GetLabelSelector(),
		State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	}
	resp := &cri.ListPodSandboxStatsResponse{}
	for _, sb := range r.sandboxList() {
		if matchSandbox(sb.item(), filter) {
			resp.Stats = append(resp.Stats, r.podStats(sb, used))
		}
	}
	return resp, nil
}

func (c *container) stats(u usage) *cri.ContainerStats {
	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{
			Id: c.id, Metadata: c.config.GetMetadata(), Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		},
		Cpu: u.criCPU(), Memory: u.criMemory(),
	}
}

func (r *runtimeService) podStats(sb *sandbox, used map[string]usage) *cri.PodSandboxStats {
	var total usage
	linux := &cri.LinuxPodSandboxStats{}
	for _, c := range r.containersOf(sb.id) {
		u, running := used[c.id]
		if !running {
			continue
		}
		linux.Containers = append(linux.Containers, c.stats(u))
		total.cpu += u.cpu
		total.rss += u.rss
		total.faults += u.faults
		total.majorFaults += u.majorFaults
		total.processes += u.processes
	}
	now := time.Now().UnixNano()
	linux.Cpu, linux.Memory = total.criCPU(), total.criMemory()
	linux.Process = &cri.ProcessUsage{Timestamp: now, ProcessCount: number(total.processes)}
	linux.Network = sb.traffic(now)
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{
			Id: sb.id, Metadata: sb.config.GetMetadata(), Labels: sb.config.GetLabels(), Annotations: sb.config.GetAnnotations(),
		},
		Linux: linux,
	}
}

// traffic is nil for a pod in the node's network.
func (sb *sandbox) traffic(now int64) *cri.NetworkUsage {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	if sb.link == nil {
		return nil
	}
	t, err := sb.link.Traffic()
	if err != nil {
		return nil // the pod is ending
	}
	return &cri.NetworkUsage{Timestamp: now, DefaultInterface: &cri.NetworkInterfaceUsage{
		Name: t.Interface, RxBytes: number(t.ReceivedBytes), RxErrors: number(t.ReceiveErrors),
		TxBytes: number(t.SentBytes), TxErrors: number(t.SendErrors),
	}}
}

func number(n uint64) *cri.UInt64Value { return &cri.UInt64Value{Value: n} }

func (u usage) criCPU() *cri.CpuUsage {
	return &cri.CpuUsage{Timestamp: time.Now().UnixNano(), UsageCoreNanoSeconds: number(uint64(u.cpu))}
}

func (u usage) criMemory() *cri.MemoryUsage {
	return &cri.MemoryUsage{
		Timestamp: time.Now().UnixNano(), WorkingSetBytes: number(u.rss), UsageBytes: number(u.rss), RssBytes: number(u.rss),
		PageFaults: number(u.faults), MajorPageFaults: number(u.majorFaults),
	}
}
