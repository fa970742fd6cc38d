package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// inspectPatience is how long Inspect waits for the API server.
const inspectPatience = 3 * time.Second

// States of a process.
const (
	stateRunning = "running"
	stateDead    = "dead"
)

// Status is what there is to know about a cluster from outside.
type Status struct {
	DataDir string `json:"dataDir"`
	// Ready says that all processes run and all nodes are Ready.
	Ready bool `json:"ready"`
	// Summary is one sentence.
	Summary      string          `json:"summary"`
	Server       string          `json:"server"`
	Kubeconfig   string          `json:"kubeconfig"`
	ControlPlane []string        `json:"controlPlane"`
	Client       []string        `json:"client"`
	Processes    []ProcessStatus `json:"processes"`
	Nodes        []NodeStatus    `json:"nodes"`
}

// ProcessStatus is a process of the cluster.
type ProcessStatus struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	Uptime   string `json:"uptime,omitempty"`
	// Memory is the resident memory, with the program's own shared among the processes that run it.
	Memory string `json:"memory,omitempty"`
	// Namespace is the file of the network namespace; empty for the host's.
	Namespace string `json:"namespace,omitempty"`
}

// NodeStatus is a node of the cluster.
type NodeStatus struct {
	Name string `json:"name"`
	// Ready is the status of the condition: True, False or Unknown.
	Ready     string   `json:"ready"`
	Zone      string   `json:"zone,omitempty"`
	Addresses []string `json:"addresses"`
	PodCIDRs  []string `json:"podCIDRs"`
}

// NamespacePath returns the file of the network namespace of a node or of the client.
func NamespacePath(spec *Spec, where string) (string, error) {
	if where != clientNamespace {
		if _, err := spec.NodeIndex(where); err != nil {
			return "", fmt.Errorf("%w, and %s", err, clientNamespace)
		}
	}
	return namespaceFile(spec, where)
}

// namespaceFile returns the file of any namespace of the cluster.
func namespaceFile(spec *Spec, name string) (string, error) {
	l, err := lab.Keep(ID(spec.DataDir))
	if err != nil {
		return "", err
	}
	return l.Path(name), nil
}

// Inspect looks at a cluster, running or not.
func Inspect(ctx context.Context, spec *Spec) (*Status, error) {
	s := &Status{
		DataDir:      spec.DataDir,
		Server:       fmt.Sprintf("https://127.0.0.1:%d", spec.Port),
		Kubeconfig:   spec.Kubeconfig(),
		ControlPlane: texts(ControlPlaneAddress().All()),
		Client:       texts(ClientAddress().All()),
	}
	processes, err := spec.Processes()
	if err != nil {
		return nil, err
	}
	dead := 0
	for _, p := range processes {
		status, err := inspectProcess(spec, p)
		if err != nil {
			return nil, err
		}
		if status.State != stateRunning {
			dead++
		}
		s.Processes = append(s.Processes, status)
	}
	ready := inspectNodes(ctx, spec, s, len(processes) > 0 && dead == 0)
	s.Ready = len(processes) == 2+spec.Nodes && dead == 0 && ready == spec.Nodes
	switch {
	case len(processes) == 0:
		s.Summary = "stopped"
	case dead > 0:
		s.Summary = fmt.Sprintf("broken: %d of %d processes are dead; `switchyard-standalone up` clears up and starts anew", dead, len(processes))
	default:
		s.Summary = fmt.Sprintf("running, %d of %d nodes Ready", ready, spec.Nodes)
	}
	return s, nil
}

// inspectProcess looks at one process.
func inspectProcess(spec *Spec, p Process) (ProcessStatus, error) {
	status := ProcessStatus{Name: p.Name, PID: p.PID, Restarts: p.Restarts, State: stateDead}
	if p.Name != supervisorName {
		file, err := namespaceFile(spec, p.Name)
		if err != nil {
			return status, err
		}
		status.Namespace = file
	}
	if p.Alive() {
		status.State = stateRunning
		status.Uptime = time.Since(p.Since).Round(time.Second).String()
		status.Memory = proportionalMemory(p.PID)
	}
	return status, nil
}

// inspectNodes fills in the nodes and returns how many are Ready. An API server that does not answer leaves them Unknown.
func inspectNodes(ctx context.Context, spec *Spec, s *Status, running bool) int {
	conditions := map[string]string{}
	if running {
		conditions = nodeConditions(ctx, spec)
	}
	ready := 0
	for i, name := range spec.NodeNames() {
		node := NodeStatus{
			Name: name, Ready: "Unknown", Zone: spec.Zone(i + 1),
			Addresses: texts(NodeAddress(i + 1).All()), PodCIDRs: texts(PodCIDRsOf(i + 1)),
		}
		if condition, found := conditions[name]; found {
			node.Ready = condition
		}
		if node.Ready == "True" {
			ready++
		}
		s.Nodes = append(s.Nodes, node)
	}
	return ready
}

// nodeConditions asks the API server for every node's condition Ready.
func nodeConditions(ctx context.Context, spec *Spec) map[string]string {
	conditions := map[string]string{}
	ctx, cancel := context.WithTimeout(ctx, inspectPatience)
	defer cancel()
	client, err := NewClient(spec)
	if err != nil {
		return conditions
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return conditions
	}
	for i := range nodes.Items {
		conditions[nodes.Items[i].Name] = string(nodeReady(&nodes.Items[i]))
	}
	return conditions
}

// proportionalMemory returns a process's Pss (proc(5), smaps_rollup) in MiB, or nothing if it cannot be had.
func proportionalMemory(pid int) string {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(rollup)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "Pss:" {
			continue
		}
		kibibytes, err := strconv.Atoi(fields[1])
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%d MiB", kibibytes>>10)
	}
	return ""
}

// texts returns values in their text form.
func texts[T fmt.Stringer](values []T) []string {
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = value.String()
	}
	return list
}
