package source

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
)

// podNode is the field of a Pod that the API server selects by.
const podNode = "spec.nodeName"

// PodAt returns the pod that has an address now, if Pods is one of the kinds. Pods are no part of snapshots: who asks wants to
// know who a client is at this moment.
func (s *Source) PodAt(addr netip.Addr) (*model.Pod, bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.pods.Get(addr)
}

func podsResource(client kubernetes.Interface, cfg Config) resource {
	api := client.CoreV1().Pods(cfg.Namespace)
	r := resource{
		kind: Pods, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[corev1.Pod](l.ListMeta, l.Items), nil
		},
	}
	if cfg.NodeName != "" {
		r.field = fields.OneTermEqualSelector(podNode, cfg.NodeName).String()
	}
	return r
}

func (c converter) pod(o *corev1.Pod) *model.Pod {
	p := &model.Pod{Ref: model.Ref{Namespace: c.strings.of(o.Namespace), Name: o.Name}, Labels: c.labels(o.Labels)}
	if o.Spec.HostNetwork || o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed {
		return p
	}
	for _, ip := range o.Status.PodIPs {
		if addr, ok := parseAddr(ip.IP); ok {
			p.Addrs = append(p.Addrs, addr)
		}
	}
	return p
}

// pod notes the addresses of a pod; nobody waits for them.
func (e *edition) pod(_ model.Ref, prev, next *model.Pod) {
	pods := &e.state.pods
	if prev != nil {
		for _, addr := range prev.Addrs {
			if held, _ := pods.Get(addr); held == prev {
				*pods = pods.Without(addr)
			}
		}
	}
	if next != nil {
		for _, addr := range next.Addrs {
			*pods = pods.With(addr, next)
		}
	}
}
