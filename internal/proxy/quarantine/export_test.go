package quarantine

import (
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Locate is locate of one endpoint.
func Locate(p *plan.Plan, endpoint netip.AddrPort) []model.Ref {
	return locate(p, map[netip.AddrPort]struct{}{endpoint: {}})[endpoint]
}
