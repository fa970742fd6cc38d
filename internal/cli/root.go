// Package cli is the command line of switchyard: it turns flags and files into the configuration of a component, and is
// the only place that picks implementations.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes of switchyard.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood and failed
	exitUsage   = 2 // the command line or a file it names was refused; nothing was done
)

// usageError is an error in what the user wrote, as opposed to one in carrying it out.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exitCode is what a command ends with that has said all in its output.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs switchyard with these arguments (without the program's name) and returns its exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintf(stderr, "%s: %s\n", command.CommandPath(), strings.TrimSpace(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "Run '%s --help' for what it takes.\n", command.CommandPath())
		return exitUsage
	}
	return exitFailure
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "switchyard",
		Short: "The Service and Ingress layer of Kubernetes in one program",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
		// Main prints errors, once and in our words.
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	addLogFlags(root.PersistentFlags())
	root.AddCommand(
		newNodeCommand(),
		newControllerCommand(),
		newDNSCommand(),
		newIngressCommand(),
		newEnvCommand(),
		newCleanupCommand(),
		newConfigCommand(),
		newEchoCommand(),
		newVersionCommand(),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	refuseArgumentsAsUsage(root)
	return root
}

// refuseArgumentsAsUsage marks what the positional-argument checks of a command and of those below it refuse.
func refuseArgumentsAsUsage(command *cobra.Command) {
	if check := command.Args; check != nil {
		command.Args = func(command *cobra.Command, args []string) error {
			if err := check(command, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, child := range command.Commands() {
		refuseArgumentsAsUsage(child)
	}
}
