package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/ingress/show"
)

// ingressRoutesOptions is what the flags of `switchyard ingress routes` set.
type ingressRoutesOptions struct {
	socket, host, explain, output string
}

// newIngressRoutesCommand returns `switchyard ingress routes`.
func newIngressRoutesCommand() *cobra.Command {
	var o ingressRoutesOptions
	command := &cobra.Command{
		Use:   "routes",
		Short: "Show the routes of a running entry, or why a URL goes where it goes",
		Long: `Ask the 'switchyard ingress' of this machine or pod, by its admin socket, for the routes that are in force: hosts, paths in the order
in which they are looked at, the Ingresses they are of, and their backends. --explain shows the decisions for one URL.`,
		Example: `  switchyard ingress routes --host shop.example.com
  switchyard ingress routes --explain https://shop.example.com/cart
  kubectl exec -n ingress deploy/entry -- switchyard ingress routes -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	flags.StringVar(&o.socket, "admin-socket", ingressSocket(), "unix socket of the entry")
	flags.StringVar(&o.host, "host", "", "show the routes of this host alone")
	flags.StringVar(&o.explain, "explain", "", "show what becomes of requests for this URL, and why")
	flags.StringVarP(&o.output, "output", "o", "", "json, yaml, or wide (empty: a table)")
	return command
}

func (o *ingressRoutesOptions) run(ctx context.Context, out io.Writer) error {
	switch o.output {
	case "", "wide", "json", "yaml":
	default:
		return usageError{fmt.Errorf("-o %s: want json, yaml or wide", o.output)}
	}
	if o.host != "" && o.explain != "" {
		return usageError{errors.New("--host and --explain exclude each other: the URL names the host")}
	}
	path := "/routes?host=" + url.QueryEscape(o.host)
	if o.explain != "" {
		path = "/explain?url=" + url.QueryEscape(o.explain)
	}
	body, err := o.ask(ctx, path)
	if err != nil {
		return err
	}
	switch {
	case o.output == "json":
		_, err = out.Write(body)
		return err
	case o.output == "yaml":
		if body, err = yaml.JSONToYAML(body); err != nil {
			return fmt.Errorf("write YAML: %w", err)
		}
		_, err = out.Write(body)
		return err
	case o.explain != "":
		return printExplanation(out, body)
	}
	return printRoutes(out, body, o.output == "wide")
}

// ask returns the answer of the entry.
func (o *ingressRoutesOptions) ask(ctx context.Context, path string) ([]byte, error) {
	client := &http.Client{Timeout: readTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", o.socket)
		},
	}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://entry"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the entry at %s: %w: run this where 'switchyard ingress' runs (kubectl exec), or name its --admin-socket", o.socket, errors.Unwrap(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of the entry: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}

// printRoutes prints a listing, one path a line.
func printRoutes(out io.Writer, body []byte, wide bool) error {
	var listing show.Listing
	if err := json.Unmarshal(body, &listing); err != nil {
		return fmt.Errorf("read the answer of the entry: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	header := "HOST\tPATH\tMATCH\tBACKEND\tENDPOINTS\tINGRESS\tPROBLEM"
	if wide {
		header += "\tTLS\tAPPLIES"
	}
	fmt.Fprintln(w, header)
	for _, h := range listing.Hosts {
		for _, l := range h.Locations {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s", h.Name, l.Path, l.Match, dash(l.Backend), l.Endpoints, dash(l.Ingress), dash(l.Problem))
			if wide {
				applies := l.Applies
				if l.Canary != "" {
					applies = append(applies, "canary "+l.Canary)
				}
				fmt.Fprintf(w, "\t%s\t%s", dash(h.TLS), dash(strings.Join(applies, "; ")))
			}
			fmt.Fprintln(w)
		}
	}
	for _, s := range listing.Streams {
		fmt.Fprintf(w, "%s\t-\tport\t%s\t\t-\t%s\n", s.Port, dash(s.Backend), dash(s.Problem))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the routes: %w", err)
	}
	printProblems(out, listing.Problems)
	fmt.Fprintf(out, "\nin force since %s\n", listing.Since.Format(time.RFC3339))
	return nil
}

func printProblems(out io.Writer, problems []show.Problem) {
	if len(problems) > 0 {
		fmt.Fprintln(out, "\nnot honoured:")
	}
	for _, p := range problems {
		fmt.Fprintf(out, "  %s: %s: %s\n", p.Object, p.Reason, p.Message)
	}
}

func printExplanation(out io.Writer, body []byte) error {
	var x show.Explanation
	if err := json.Unmarshal(body, &x); err != nil {
		return fmt.Errorf("read the answer of the entry: %w", err)
	}
	fmt.Fprintln(out, x.URL)
	for _, s := range x.Steps {
		fmt.Fprintf(out, "  %s\n", s)
	}
	fmt.Fprintf(out, "-> %s\n", x.Outcome)
	for _, e := range x.Endpoints {
		fmt.Fprintf(out, "   %s\n", e)
	}
	printProblems(out, x.Problems)
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
