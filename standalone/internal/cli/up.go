package cli

import (
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
	"github.com/switchyard-net/switchyard/standalone/internal/node"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime"
)

// upOptions are the flags of up.
type upOptions struct {
	nodes     int
	zones     []string
	images    string
	proxyMode string
	dns       bool
	corefile  string
	expose    bool
	timeout   time.Duration
}

// newUp returns the command that starts a cluster.
func newUp() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster, and wait until it is ready",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runUp(cmd, &o) },
	}
	flags := cmd.Flags()
	flags.IntVar(&o.nodes, "nodes", 1, "number of nodes")
	flags.StringSliceVar(&o.zones, "zones", nil, "zones to spread the nodes over, such as a,b")
	flags.StringVar(&o.images, "images", "", "YAML file that says which command or directory an image name stands for")
	flags.StringVar(&o.proxyMode, "proxy-mode", "", "how every node serves Services: "+strings.Join(config.Modes(), ", ")+" or "+config.ModeAuto+" (default "+config.ModeNFTables+")")
	flags.BoolVar(&o.dns, "dns", true, "serve the cluster DNS on every node")
	flags.StringVar(&o.corefile, "corefile", "", "begin with this Corefile: it is put into ConfigMap kube-system/coredns, where it can be edited")
	flags.BoolVar(&o.expose, "expose", false, "join the host's network to that of the nodes")
	flags.DurationVar(&o.timeout, "timeout", 3*time.Minute, "how long to wait until the cluster is ready")
	return cmd
}

// runUp starts a cluster and shows how it comes up.
func runUp(cmd *cobra.Command, o *upOptions) error {
	if err := needRoot(cmd); err != nil {
		return err
	}
	spec, err := o.spec(cmd)
	if err != nil {
		return err
	}
	release, err := cluster.Lock(spec.DataDir)
	if err != nil {
		return err
	}
	defer release()
	// The port of the last run, so that a user's kubeconfig stays valid.
	if last, err := cluster.Load(spec.DataDir); err == nil {
		spec.Port = last.Port
	} else if !errors.Is(err, cluster.ErrNoCluster) {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out := cmd.OutOrStdout()
	began := time.Now()
	fmt.Fprintf(out, "Starting a cluster of %s in %s\n", plural(spec.Nodes, "node"), spec.DataDir)
	supervisor, err := cluster.Start(spec)
	if err != nil {
		return err
	}
	step := func(what string) { fmt.Fprintf(out, "  %6.1f s  %s\n", time.Since(began).Seconds(), what) }
	step("certificates, namespaces and processes are there")
	if err := cluster.Wait(ctx, spec, supervisor, o.timeout, step); err != nil {
		return fmt.Errorf("%w; the logs are in %s; `switchyard-standalone down` stops what was started", err, spec.Logs())
	}
	printGuide(out, spec)
	return nil
}

// spec returns what the flags ask for.
func (o *upOptions) spec(cmd *cobra.Command) (*cluster.Spec, error) {
	dir, err := dataDir(cmd)
	if err != nil {
		return nil, err
	}
	spec := &cluster.Spec{DataDir: dir, Nodes: o.nodes, Zones: o.zones, ProxyMode: o.proxyMode, NoDNS: !o.dns, Expose: o.expose}
	if o.images != "" {
		if spec.Images, err = filepath.Abs(o.images); err != nil {
			return nil, err
		}
	}
	if o.corefile != "" {
		if spec.Corefile, err = filepath.Abs(o.corefile); err != nil {
			return nil, err
		}
	}
	if o.timeout <= 0 {
		return nil, fmt.Errorf("--timeout %v: want a duration above zero, such as 3m", o.timeout)
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if _, err := runtime.LoadImages(spec.Images); err != nil {
		return nil, fmt.Errorf("--images: %w", err)
	}
	if err := node.CheckCorefile(spec.Corefile); err != nil {
		return nil, fmt.Errorf("--corefile: %w", err)
	}
	if err := node.CheckProxyMode(cmd.Context(), spec.ProxyMode); err != nil {
		return nil, fmt.Errorf("--proxy-mode: %w", err)
	}
	return spec, nil
}

// printGuide says how to go on.
func printGuide(out io.Writer, spec *cluster.Spec) {
	program := "switchyard-standalone"
	if spec.DataDir != cluster.DefaultDataDir {
		program += " --data-dir " + spec.DataDir
	}
	var addresses []string
	for i := range spec.Nodes {
		addresses = append(addresses, cluster.NodeAddress(i+1).V4.String())
	}
	fmt.Fprintf(out, `The cluster is ready. Its nodes are %s.

Go on with:
  %[2]s kubectl get pods -A
  %[2]s exec client -- curl http://%[3]s:NODEPORT
  %[2]s status
  %[2]s down

Any other client: export KUBECONFIG=%[4]s
`, strings.Join(addresses, ", "), program, addresses[0], spec.Kubeconfig())
}

// plural returns a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
