package node

import (
	"errors"
	"fmt"
	"io"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/proxy"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
)

// backend returns the backend of the configured mode, in the network namespace of the process, unless Deps has one; and
// what is to be closed after its use.
func (n *Node) backend() (proxy.Backend, io.Closer, error) {
	if n.deps.Backend != nil {
		return n.deps.Backend, io.NopCloser(nil), nil
	}
	switch n.config.Mode {
	case config.ModeNFTables:
		conn, err := nft.Open()
		if err != nil {
			return nil, nil, err
		}
		backend, err := nftables.New(nftables.Config{}, nftables.Deps{Kernel: conn, Log: n.deps.Log})
		if err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		return backend, conn, nil
	}
	return nil, nil, fmt.Errorf("mode %q is not built in", n.config.Mode)
}
