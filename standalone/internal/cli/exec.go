package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// newExec returns the command that runs a program in a namespace of the cluster.
func newExec() *cobra.Command {
	return &cobra.Command{
		Use:   "exec NODE|client -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a node's network, or in that of a client outside of the cluster",
		Example: `  switchyard-standalone exec client -- curl http://172.30.0.11:30090
  switchyard-standalone exec node-1 -- nft list ruleset`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("exec: want a node or client, and a command: switchyard-standalone exec NODE|client -- COMMAND [ARGUMENT...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runExec(cmd, args[0], args[1:]) },
	}
}

// runExec replaces this program with the command, so that its terminal, signals and exit status are the command's own.
func runExec(cmd *cobra.Command, where string, command []string) error {
	if err := needRoot(cmd); err != nil {
		return err
	}
	spec, err := loadSpec(cmd)
	if err != nil {
		return err
	}
	path, err := cluster.NamespacePath(spec, where)
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "switchyard-standalone: exec: %v\n", err)
		return exitError{code: 127} // what a shell returns for a command that is not found
	}
	// Only the calling thread enters the namespace; exec makes it the only one.
	runtime.LockOSThread()
	namespace, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("exec: the cluster does not run: %w; start it with `switchyard-standalone up`", err)
	}
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("exec: enter the network of %s: %w", where, err)
	}
	if err := syscall.Exec(program, command, environment(spec)); err != nil {
		return fmt.Errorf("exec: run %s: %w", program, err)
	}
	return nil
}

// environment returns that of the command. The kubeconfig of the host leads to the host's loopback, which is not there; the one in its
// place leads to the API server itself. A user's own stays.
func environment(spec *cluster.Spec) []string {
	const name = "KUBECONFIG"
	variables := os.Environ()
	if present := os.Getenv(name); present != "" && present != spec.Kubeconfig() {
		return variables
	}
	variables = slices.DeleteFunc(variables, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	return append(variables, name+"="+spec.KubeconfigInside())
}
