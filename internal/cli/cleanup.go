package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-net/switchyard/internal/kernel/leftovers"
	"github.com/switchyard-net/switchyard/internal/proxy/nftables"
)

// newCleanupCommand returns `switchyard cleanup`.
func newCleanupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cleanup",
		Short: "Remove the Service rules that switchyard or kube-proxy, of any mode, left in the kernel",
		Long: `Remove the Service rules that switchyard or kube-proxy, of any mode, left in the kernel of this network namespace:
their nftables tables, kube-proxy's iptables chains (legacy and nft), kube-ipvs0 with its virtual servers, and ipsets.
What others made stays, the kubelet's own chains included. It can be run again, and prints what it removed.

A proxy that still runs makes its rules again: stop it first.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			removed, err := leftovers.Remove(command.Context(), nftables.DefaultTable, leftovers.KubeProxyTable)
			for _, what := range removed {
				fmt.Fprintf(command.OutOrStdout(), "removed %s\n", what)
			}
			if err != nil {
				return err
			}
			if len(removed) == 0 {
				fmt.Fprintln(command.OutOrStdout(), "nothing to remove")
			}
			return nil
		},
	}
}
