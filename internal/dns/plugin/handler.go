package plugin

import (
	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// Handler is the plugin in one server block. After caddy.Start, the fast path finds it with
// config.Handler(Directive or KubernetesDirective).(*Handler).
type Handler struct {
	name  string
	zones *zone.Zones
}

// Name is the directive's.
func (h *Handler) Name() string { return h.name }

// Zones answers without the chain, for the fast path.
func (h *Handler) Zones() *zone.Zones { return h.zones }
