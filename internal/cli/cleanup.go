package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-net/switchyard/internal/node"
)

// newCleanupCommand returns `switchyard cleanup`.
func newCleanupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cleanup",
		Short: "Remove the Service rules that switchyard or kube-proxy, of any mode, left in the kernel",
		Long: `Remove the Service rules that switchyard or kube-proxy, of any mode, left in the kernel of this network namespace:
their nftables tables, iptables chains (legacy and nft), IPVS virtual servers, ipsets, routing rules, and kube-ipvs0.
What others made stays, the kubelet's own chains included. It can be run again, and prints what it removed.

A proxy that still runs makes its rules again: stop it first.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			log, err := newLogger(command)
			if err != nil {
				return err
			}
			removed, err := node.CleanUp(command.Context(), log)
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
