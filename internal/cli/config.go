package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/config"
)

// newConfigCommand returns `switchyard config`.
func newConfigCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "config",
		Short: "Print the default configuration file of `switchyard node`, or check one",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		&cobra.Command{
			Use:   "default",
			Short: "Print the default configuration, a KubeProxyConfiguration",
			Args:  cobra.NoArgs,
			RunE: func(command *cobra.Command, _ []string) error {
				text, err := yaml.Marshal(config.DefaultKubeProxy())
				if err != nil {
					return err
				}
				_, err = command.OutOrStdout().Write(text)
				return err
			},
		},
		&cobra.Command{
			Use:     "check FILE",
			Short:   "Say whether `switchyard node --config FILE` would start, and what of the file has no effect",
			Example: "  switchyard config check /var/lib/kube-proxy/config.conf",
			Args:    cobra.ExactArgs(1),
			RunE:    func(command *cobra.Command, args []string) error { return checkConfig(command, args[0]) },
		},
	)
	return command
}

func checkConfig(command *cobra.Command, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return usageError{err}
	}
	defer file.Close()
	kp, err := config.ParseKubeProxy(file)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	_, notes, err := nodeConfig(kp)
	out := command.OutOrStdout()
	for _, note := range notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	_, err = fmt.Fprintf(out, "%s can be used\n", path)
	return err
}
