package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// newKubectl returns kubectl as a subcommand. It parses its own flags.
func newKubectl() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl [ARGUMENT...]",
		Short:              "Run kubectl on the cluster",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, args, err := splitDataDir(args)
			if err != nil {
				return err
			}
			return runKubectl(dir, args)
		},
	}
}

// splitDataDir takes --data-dir from the front of kubectl's arguments: flags that come before the word kubectl end up
// there, because nobody has parsed them.
func splitDataDir(args []string) (dir string, rest []string, err error) {
	const flag = "--data-dir"
	dir = defaultDataDir()
	for len(args) > 0 {
		value, found := strings.CutPrefix(args[0], flag+"=")
		switch {
		case found:
			dir, args = value, args[1:]
		case args[0] == flag && len(args) > 1:
			dir, args = args[1], args[2:]
		case args[0] == flag:
			return "", nil, errors.New("--data-dir: want a directory")
		default:
			return dir, args, nil
		}
	}
	return dir, args, nil
}

// runKubectl runs kubectl with the cluster's kubeconfig, unless the arguments name another.
func runKubectl(dir string, args []string) error {
	spec, err := cluster.Load(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(spec.Kubeconfig()); err != nil {
		return fmt.Errorf("kubectl: %w; start the cluster with `switchyard-standalone up`", err)
	}
	if err := os.Setenv("KUBECONFIG", spec.Kubeconfig()); err != nil {
		return err
	}
	// kubectl ends the program itself after most errors, with a status of its own.
	os.Args = append([]string{"kubectl"}, args...)
	command := kubectl.NewDefaultKubectlCommand()
	command.SetArgs(args)
	if err := cli.RunNoErrOutput(command); err != nil {
		util.CheckErr(err)
	}
	return nil
}
