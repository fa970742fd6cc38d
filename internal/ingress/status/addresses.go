package status

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Config says which addresses the entry has. The first of Addresses, Service and Pod that is set counts; where none is, no
// status is written.
type Config struct {
	// Addresses are those of the entry (--publish-status-address).
	Addresses []model.IngressAddress
	// Service is the one in front of the entry (--publish-service).
	Service model.Ref
	// Pod is that of this process: the addresses are those of the nodes that pods with its labels run on.
	Pod model.Ref
	// InternalAddresses takes internal addresses of nodes although they have external ones.
	InternalAddresses bool
	// RemoveOnShutdown empties the status when the last process of the entry ends.
	RemoveOnShutdown bool
}

// Writes reports whether there is anything to write.
func (c Config) Writes() bool {
	return len(c.Addresses) > 0 || c.Service != model.Ref{} || c.Pod != model.Ref{}
}

// ofService returns the addresses that a Service is reached at, as in ingress-nginx.
func ofService(s *model.Service) []model.IngressAddress {
	var out []model.IngressAddress
	switch s.Type {
	case model.ExternalName:
		return []model.IngressAddress{{Hostname: s.ExternalName}}
	case model.LoadBalancer:
		for _, a := range s.Ingress {
			out = append(out, model.IngressAddress{Addr: a.Addr})
		}
		for _, name := range s.IngressNames {
			out = append(out, model.IngressAddress{Hostname: name})
		}
		return ordered(append(out, plain(s.ExternalIPs)...))
	case model.NodePort:
		if len(s.ExternalIPs) > 0 {
			return ordered(plain(s.ExternalIPs))
		}
	}
	return ordered(plain(s.ClusterIPs))
}

func plain(in []netip.Addr) []model.IngressAddress {
	var out []model.IngressAddress
	for _, a := range in {
		out = append(out, model.IngressAddress{Addr: a})
	}
	return out
}

// ordered returns addresses sorted and without repetition, in place.
func ordered(in []model.IngressAddress) []model.IngressAddress {
	slices.SortFunc(in, func(a, b model.IngressAddress) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Hostname, b.Hostname))
	})
	return slices.Compact(in)
}

// ofNode returns the addresses that the outside reaches a node at: its external ones, else its internal ones.
func ofNode(n *corev1.Node, internal bool) []model.IngressAddress {
	var of [2][]model.IngressAddress
	for _, a := range n.Status.Addresses {
		addr, err := netip.ParseAddr(a.Address)
		if err != nil {
			continue
		}
		switch a.Type {
		case corev1.NodeExternalIP:
			of[0] = append(of[0], model.IngressAddress{Addr: addr})
		case corev1.NodeInternalIP:
			of[1] = append(of[1], model.IngressAddress{Addr: addr})
		}
	}
	if internal || len(of[0]) == 0 {
		return of[1]
	}
	return of[0]
}

// siblings returns the pods with the labels of this process's pod that run, and itself.
func (w *Writer) siblings(ctx context.Context) ([]corev1.Pod, error) {
	pods := w.deps.Client.CoreV1().Pods(w.cfg.Pod.Namespace)
	own, err := pods.Get(ctx, w.cfg.Pod.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the pod %s of this process: %w", w.cfg.Pod, err)
	}
	selected := labels.Set{}
	for key, value := range own.Labels {
		switch key { // those that differ from one generation of pods to the next
		case "pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index":
		default:
			selected[key] = value
		}
	}
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selected.String()})
	if err != nil {
		return nil, fmt.Errorf("list the pods with labels %s: %w", selected, err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.Name != own.Name && (p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning)
	}), nil
}

// ofPods returns the addresses of the nodes that the entry's pods run on, as of a minute ago at most.
func (w *Writer) ofPods(ctx context.Context) ([]model.IngressAddress, error) {
	if len(w.nodes) > 0 && time.Since(w.looked) < lookEvery/2 {
		return w.nodes, nil
	}
	pods, err := w.siblings(ctx)
	if err != nil {
		return nil, err
	}
	var out []model.IngressAddress
	seen := map[string]bool{}
	for i := range pods {
		name := pods[i].Spec.NodeName
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		node, err := w.deps.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read the node %s of pod %s: %w", name, pods[i].Name, err)
		}
		out = append(out, ofNode(node, w.cfg.InternalAddresses)...)
	}
	w.nodes, w.looked = ordered(out), time.Now()
	return w.nodes, nil
}
