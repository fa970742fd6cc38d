package node

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// outsideTable is the nftables table, one a family, of a node's pods that leave the cluster.
const outsideTable = "standalone-outside"

// sourcePriority is where sources are translated (NF_IP_PRI_NAT_SRC).
const sourcePriority = 100

// reachOutside gives what node i's pods send to hosts outside of the cluster the node's address: those know no way to pods. In other
// clusters this is the network plugin's work.
func reachOutside(ctx context.Context, i int) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, pods := range cluster.PodCIDRsOf(i) {
		var tx nft.Transaction
		table := nft.Table{Family: nft.IPv4, Name: outsideTable, Comment: "pods that leave the cluster do so by the node's address"}
		if pods.Addr().Is6() {
			table.Family = nft.IPv6
		}
		tx.AddTable(table)
		tx.DeleteTable(table) // of the process before this one
		tx.AddTable(table)
		tx.AddChain(table, nft.Chain{Name: "postrouting", Hook: &nft.Hook{Type: "nat", Number: nft.Postrouting, Priority: sourcePriority}})
		for _, outside := range []cluster.Dual{cluster.ClientAddress(), cluster.HostAddress()} {
			tx.AddRule(table, nft.Rule{Chain: "postrouting", Exprs: leaving(table.Family, pods, outside)})
		}
		if err := conn.Run(ctx, &tx); err != nil {
			return fmt.Errorf("let pods in %s reach hosts outside of the cluster: %w", pods, err)
		}
	}
	return nil
}

// leaving matches packets from pods to a host, and translates them.
func leaving(f nft.Family, pods netip.Prefix, to cluster.Dual) []nft.Expr {
	addr := to.V4
	if f == nft.IPv6 {
		addr = to.V6
	}
	exprs := append([]nft.Expr{nft.LoadSource(f, 0)}, nft.InPrefix(0, pods, false)...)
	return append(exprs, nft.LoadDestination(f, 0), nft.Equal(0, addr.AsSlice()), nft.Masquerade())
}
