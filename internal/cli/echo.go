package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/switchyard-net/switchyard/internal/echo"
)

// newEchoCommand returns `switchyard echo`, the example server of the documentation and the demo.
func newEchoCommand() *cobra.Command {
	var config echo.Config
	command := &cobra.Command{
		Use:   "echo",
		Short: "Run the example server, which answers with its pod's name and the client's address",
		Long: `Run the example server, which answers HTTP, TCP and UDP with its pod's name, node and address, the client's
address and the request. It takes pod, node and address from the environment (POD_NAME, NODE_NAME, POD_IP).

  /healthz             200 while the process lives
  /readyz              200 if ready, 503 if not
  POST /ready?ok=false make it unready (ok=true: ready again)
  /pod                 the pod's name and nothing else
  /ws                  WebSocket: each text comes back with the pod's name before it
  gRPC                 grpc.health.v1.Health/Check, without TLS
  any other path       who answers whom; as JSON for clients that accept it

On SIGTERM it turns unready, goes on serving for --drain, and ends.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			identity, err := identityFromEnvironment()
			if err != nil {
				return err
			}
			config.Identity = identity
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return echo.New(config, slog.New(slog.NewTextHandler(command.ErrOrStderr(), nil))).Run(ctx)
		},
	}
	flags := command.Flags()
	flags.StringVar(&config.HTTP, "http", ":8080", "serve HTTP on this address (empty: do not)")
	flags.StringVar(&config.TCP, "tcp", "", "answer lines over TCP on this address")
	flags.StringVar(&config.UDP, "udp", "", "answer datagrams over UDP on this address")
	flags.DurationVar(&config.Drain, "drain", 3*time.Second, "go on serving for this long after SIGTERM, unready")
	command.AddCommand(newEchoLoadCommand())
	return command
}

func identityFromEnvironment() (echo.Identity, error) {
	identity := echo.Identity{Pod: os.Getenv("POD_NAME"), Node: os.Getenv("NODE_NAME"), IP: os.Getenv("POD_IP")}
	if identity.Pod != "" {
		return identity, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return echo.Identity{}, fmt.Errorf("find this host's name, as POD_NAME is not set: %w", err)
	}
	identity.Pod = name
	return identity, nil
}

// newEchoLoadCommand returns `switchyard echo load`, the client that counts which pods answer.
func newEchoLoadCommand() *cobra.Command {
	var load echo.Load
	var asJSON bool
	command := &cobra.Command{
		Use:     "load URL",
		Short:   "Make requests of an echo server, each on a connection of its own, and count which pods answer",
		Example: "  switchyard echo load http://10.96.0.80 --count 100",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			target, err := url.Parse(args[0])
			if err != nil || target.Scheme != "http" || target.Host == "" {
				return fmt.Errorf("%q is not a URL such as http://10.96.0.80:80", args[0])
			}
			if load.Count <= 0 && load.For <= 0 {
				return fmt.Errorf("--count is %d and --for is %s: set one of them, or the load never ends", load.Count, load.For)
			}
			load.URL = args[0]
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return printOutcome(ctx, command.OutOrStdout(), load, asJSON)
		},
	}
	flags := command.Flags()
	flags.IntVar(&load.Count, "count", 0, "make this many requests")
	flags.DurationVar(&load.For, "for", 0, "make requests for this long")
	flags.DurationVar(&load.Every, "every", 0, "pause of each worker between two requests")
	flags.IntVar(&load.Workers, "workers", 1, "requests under way at once")
	flags.DurationVar(&load.Timeout, "timeout", 2*time.Second, "give a request up after this long, connecting included")
	flags.BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	return command
}

func printOutcome(ctx context.Context, out io.Writer, load echo.Load, asJSON bool) error {
	outcome := load.Run(ctx)
	if asJSON {
		return json.NewEncoder(out).Encode(outcome)
	}
	fmt.Fprintf(out, "%d requests, %d failed\n", outcome.Requests, outcome.Failed)
	for _, pod := range slices.Sorted(maps.Keys(outcome.Pods)) {
		fmt.Fprintf(out, "%7d  %s\n", outcome.Pods[pod], pod)
	}
	for _, reason := range slices.Sorted(maps.Keys(outcome.Errors)) {
		fmt.Fprintf(out, "%7d  failed: %s\n", outcome.Errors[reason], reason)
	}
	return nil
}
