package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// newStatus returns the command that shows a cluster.
func newStatus() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster's processes, nodes and addresses",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runStatus(cmd, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, yaml or wide (default: a short table)")
	return cmd
}

// runStatus shows the cluster. The exit status is 1 if it does not run as it should.
func runStatus(cmd *cobra.Command, output string) error {
	printers := map[string]func(io.Writer, *cluster.Status) error{
		"": printTable, "wide": printWide, "json": printJSON, "yaml": printYAML,
	}
	show, known := printers[output]
	if !known {
		return fmt.Errorf("--output %q: want json, yaml or wide, or leave it out", output)
	}
	spec, err := loadSpec(cmd)
	if err != nil {
		return err
	}
	status, err := cluster.Inspect(cmd.Context(), spec)
	if err != nil {
		return err
	}
	if err := show(cmd.OutOrStdout(), status); err != nil {
		return err
	}
	if !status.Ready {
		return exitError{code: 1}
	}
	return nil
}

// printTable shows what a person wants to know first.
func printTable(out io.Writer, s *cluster.Status) error { return printTables(out, s, false) }

// printWide adds process ids, namespaces and the pods' prefixes.
func printWide(out io.Writer, s *cluster.Status) error { return printTables(out, s, true) }

func printTables(out io.Writer, s *cluster.Status, wide bool) error {
	fmt.Fprintf(out, "%s: %s\n\n", s.DataDir, s.Summary)
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(short []string, more ...string) {
		if wide {
			short = append(short, more...)
		}
		fmt.Fprintln(table, strings.Join(short, "\t"))
	}
	row([]string{"PROCESS", "STATE", "UPTIME", "RESTARTS", "MEMORY"}, "PID", "NAMESPACE")
	for _, p := range s.Processes {
		row([]string{p.Name, p.State, p.Uptime, fmt.Sprint(p.Restarts), p.Memory}, fmt.Sprint(p.PID), p.Namespace)
	}
	fmt.Fprintln(table)
	row([]string{"NODE", "READY", "ZONE", "ADDRESSES"}, "PODS")
	for _, n := range s.Nodes {
		row([]string{n.Name, n.Ready, n.Zone, strings.Join(n.Addresses, ",")}, strings.Join(n.PodCIDRs, ","))
	}
	fmt.Fprintln(table)
	row([]string{"ADDRESS", "OF"})
	row([]string{s.Server, "the API server, on this host"})
	row([]string{strings.Join(s.ControlPlane, ","), "the API server, on the nodes' network"})
	row([]string{strings.Join(s.Client, ","), "the client"})
	return table.Flush()
}

func printJSON(out io.Writer, s *cluster.Status) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

func printYAML(out io.Writer, s *cluster.Status) error {
	text, err := yaml.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	_, err = out.Write(text)
	return err
}
