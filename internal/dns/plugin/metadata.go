package plugin

import (
	"context"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/request"
)

var _ metadata.Provider = (*Handler)(nil)

// Metadata implements metadata.Provider, with the labels of CoreDNS's kubernetes plugin.
func (h *Handler) Metadata(ctx context.Context, state request.Request) context.Context {
	set := func(label, value string) {
		metadata.SetValueFunc(ctx, "kubernetes/"+label, func() string { return value })
	}
	if pod, ok := h.client(state); ok {
		set("client-namespace", pod.Ref.Namespace)
		set("client-pod-name", pod.Ref.Name)
		for key, value := range pod.Labels.All() {
			set("client-label/"+key, value)
		}
	}
	p, ok := h.zones.Describe(wire(state.Name()))
	switch {
	case !ok:
		return ctx
	case p.Wrong:
		set("parse-error", "invalid query name")
		return ctx
	}
	set("kind", p.Kind)
	set("namespace", p.Namespace)
	set("service", p.Service)
	set("endpoint", p.Endpoint)
	set("port-name", p.Port)
	set("protocol", p.Protocol)
	if h.options.Zonal {
		set("zone", p.Topology)
	}
	return ctx
}
