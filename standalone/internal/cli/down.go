package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// newDown returns the command that stops a cluster.
func newDown() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster, and clear away what a crash of it left",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDown(cmd, purge) },
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the cluster's data as well")
	return cmd
}

// runDown stops the cluster. Of a directory without one, it clears what may be left under its name all the same.
func runDown(cmd *cobra.Command, purge bool) error {
	if err := needRoot(cmd); err != nil {
		return err
	}
	dir, err := dataDir(cmd)
	if err != nil {
		return err
	}
	spec, err := cluster.Load(dir)
	if errors.Is(err, cluster.ErrNoCluster) {
		if err := cluster.Clear(&cluster.Spec{DataDir: dir}); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "Nothing to stop:", err)
		return nil
	}
	if err != nil {
		return err
	}
	release, err := cluster.Lock(spec.DataDir)
	if err != nil {
		return err
	}
	defer release()
	if err := cluster.Clear(spec); err != nil {
		return err
	}
	if !purge {
		fmt.Fprintf(cmd.OutOrStdout(), "Stopped. The cluster's data stays in %s: `up` goes on with it, `down --purge` removes it.\n", spec.DataDir)
		return nil
	}
	if err := cluster.Purge(spec); err != nil {
		return fmt.Errorf("remove the cluster's data: %w", err)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "Stopped, and its data removed.")
	return nil
}
