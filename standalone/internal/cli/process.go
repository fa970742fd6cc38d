package cli

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
	"github.com/switchyard-net/switchyard/standalone/internal/controlplane"
	"github.com/switchyard-net/switchyard/standalone/internal/node"
)

// newProcess returns the command under which the program starts itself as a process of the cluster.
func newProcess() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "process",
		Short:  "Run as a process of the cluster (up does this)",
		Hidden: true,
	}
	cmd.AddCommand(
		newPart("supervisor", cobra.NoArgs, func(ctx context.Context, spec *cluster.Spec, _ []string, log *slog.Logger) error {
			return cluster.Supervise(ctx, spec, log)
		}),
		newPart("control-plane", cobra.NoArgs, func(ctx context.Context, spec *cluster.Spec, _ []string, log *slog.Logger) error {
			return controlplane.Run(ctx, spec, log)
		}),
		newPart("node NAME", cobra.ExactArgs(1), func(ctx context.Context, spec *cluster.Spec, args []string, log *slog.Logger) error {
			return node.Run(ctx, spec, args[0], log)
		}),
	)
	return cmd
}

// newPart returns the command of one kind of process. It ends on SIGTERM.
func newPart(use string, check cobra.PositionalArgs,
	run func(context.Context, *cluster.Spec, []string, *slog.Logger) error,
) *cobra.Command {
	return &cobra.Command{
		Use:  use,
		Args: check,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := loadSpec(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			quietKlog()
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			if err := run(ctx, spec, args, log); err != nil {
				return fmt.Errorf("%s: %w", cmd.Name(), err)
			}
			return nil
		},
	}
}

// quietKlog makes the upstream components log what their own defaults would, to standard error, with no files.
func quietKlog() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	// Neither can fail: both flags exist and take these values.
	_ = flags.Set("logtostderr", "true")
	_ = flags.Set("v", "1")
}
