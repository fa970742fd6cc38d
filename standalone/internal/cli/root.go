// Package cli is the command line of switchyard-standalone: it turns flags into a cluster.Spec, and picks what a process
// of the cluster runs.
package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// dataDirEnv names the data directory for those who would give --data-dir with every command.
const dataDirEnv = "SWITCHYARD_DATA_DIR"

// exitError is an error that ends the program with a status of its own, without a message.
type exitError struct {
	code int
}

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// Main runs the command line and returns the exit status of the program.
func Main(args []string) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	fmt.Fprintf(os.Stderr, "switchyard-standalone: %v\n", err)
	return 1
}

// newRoot returns the command with its subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "switchyard-standalone",
		Short: "A Kubernetes cluster of its own on one Linux machine, without containers",
		Long: `A Kubernetes cluster of its own on one Linux machine, without containers: a real API server, controllers, scheduler
and kubelets, and pods that are plain processes. Everything lives in network namespaces; the host's network is not touched.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		// An error is one line; the list of commands is in --help.
		DisableSuggestions: true,
		CompletionOptions:  cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	// A flag of Kubernetes' own programs, which cobra adds to every root command, and which does nothing here.
	if version := pflag.CommandLine.Lookup("version"); version != nil {
		version.Hidden = true
	}
	root.PersistentFlags().String("data-dir", defaultDataDir(), "directory that holds everything of the cluster (or $"+dataDirEnv+")")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(newUp(), newDown(), newStatus(), newKubectl(), newExec(), newProcess())
	return root
}

// defaultDataDir returns the data directory of commands that are not told one.
func defaultDataDir() string {
	if dir := os.Getenv(dataDirEnv); dir != "" {
		return dir
	}
	return cluster.DefaultDataDir
}

// dataDir returns the data directory that a command is to use, as an absolute path.
func dataDir(cmd *cobra.Command) (string, error) {
	dir, err := cmd.Flags().GetString("data-dir")
	if err != nil {
		return "", err
	}
	if dir == "" {
		return "", errors.New(`--data-dir "": want a directory of the cluster's own`)
	}
	return filepath.Abs(dir)
}

// loadSpec returns the spec of the cluster in the command's data directory.
func loadSpec(cmd *cobra.Command) (*cluster.Spec, error) {
	dir, err := dataDir(cmd)
	if err != nil {
		return nil, err
	}
	return cluster.Load(dir)
}

// needRoot refuses users who may not do what a command does.
func needRoot(cmd *cobra.Command) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root, for network namespaces and mounts: run it with sudo", cmd.CommandPath())
	}
	return nil
}

// noArguments refuses arguments with a sentence.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and got %q: see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
