package cli

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// debugVerbosity is the value of -v from which on every sync is logged; kube-proxy's own per-sync lines are at 4 too.
const debugVerbosity = 4

// addLogFlags defines the flags that say how every command logs.
func addLogFlags(flags *pflag.FlagSet) {
	flags.String("log-format", "text", "write the log as text or json lines")
	flags.IntP("v", "v", 0, "log more; from 4 on, every sync is logged (kube-proxy's levels)")
}

// newLogger returns the logger that the flags of addLogFlags ask for. It writes to the command's standard error.
func newLogger(command *cobra.Command) (*slog.Logger, error) {
	format, err := command.Flags().GetString("log-format")
	if err != nil {
		return nil, err
	}
	verbosity, err := command.Flags().GetInt("v")
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbosity >= debugVerbosity {
		options.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(command.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(command.ErrOrStderr(), options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: want text or json", format)}
}
