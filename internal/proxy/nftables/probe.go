package nftables

import (
	"context"

	"github.com/switchyard-net/switchyard/internal/plan"
)

func (b *Backend) probeFamilies(context.Context, *plan.Plan) error { return nil }

func (b *Backend) explain(context.Context, error) []plan.Unsupported { return nil }

// loopbackNodePorts reports node ports that the plan asks for on loopback addresses.
func loopbackNodePorts(p *plan.Plan) []plan.Unsupported { return nil }
