package node

import (
	"log/slog"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/proxy/userspace"
)

// answerOnLoopback adds node ports on loopback addresses, in the families in which the mode's packet rules cannot have
// them.
func (i *instance) answerOnLoopback(log *slog.Logger) error {
	families := map[string][]model.Family{
		config.ModeNFTables: {model.IPv4, model.IPv6}, config.ModeIPVS: {model.IPv4, model.IPv6}, config.ModeIPTables: {model.IPv6},
	}[i.kind.mode]
	if families == nil {
		return nil
	}
	backend, err := userspace.WithLocalNodePorts(i.backend, log, families...)
	if err != nil {
		return err
	}
	i.backend = backend
	i.closers = append(i.closers, backend)
	return nil
}
