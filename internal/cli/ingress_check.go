package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/check"
	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// The exit codes of `switchyard ingress check` beside the usual ones.
const (
	exitDiffers = 3
	exitBreaks  = 4
)

// ingressCheckOptions is what the flags of `switchyard ingress check` set.
type ingressCheckOptions struct {
	files                    []string
	cluster, all             bool
	kubeconfig, namespace    string
	configMap, class, output string
}

// newIngressCheckCommand returns `switchyard ingress check`.
func newIngressCheckCommand() *cobra.Command {
	var o ingressCheckOptions
	command := &cobra.Command{
		Use:   "check (-f PATH... | --cluster)",
		Short: "Say what of your Ingresses behaves as with ingress-nginx, what does not, and what to change",
		Long: `Read Ingresses from manifests or from a cluster, and report on each: what behaves as it does with ingress-nginx, what does not, and
what to change. Nothing is written, and no entry needs to run. docs/ingress-nginx.md has all annotations and keys of the ConfigMap.

It exits with 0 where everything behaves the same, with 3 where something differs, with 4 where something breaks (requests that are
served now would not be) or a document could not be read, and with 1 or 2 where nothing could be checked.`,
		Example: `  switchyard ingress check -f manifests/
  kustomize build overlays/prod | switchyard ingress check -f -
  switchyard ingress check --cluster --configmap ingress-nginx/ingress-nginx-controller -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.run(command.Context(), command.OutOrStdout()) },
	}
	flags := command.Flags()
	flags.StringSliceVarP(&o.files, "filename", "f", nil, "file or directory of manifests; - for standard input; may be given several times")
	flags.BoolVar(&o.cluster, "cluster", false, "read the Ingresses of a cluster, with the Secrets and ConfigMaps that they name")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "with --cluster: file that says how to reach the API server (empty: $KUBECONFIG)")
	flags.StringVarP(&o.namespace, "namespace", "n", "", "with --cluster: check this namespace alone (empty: all)")
	flags.StringVar(&o.configMap, "configmap", "", "NAMESPACE/NAME of ingress-nginx's ConfigMap (empty: NAMESPACE/ingress-nginx-controller if it is among the manifests, or in the cluster's namespace ingress-nginx; else its defaults)")
	flags.StringVar(&o.class, "ingress-class", "nginx", "class of the Ingresses to check, beside those of the controllers k8s.io/ingress-nginx and switchyard.net/ingress")
	flags.BoolVar(&o.all, "all-classes", false, "check the Ingresses of all classes")
	flags.StringVarP(&o.output, "output", "o", "", "json or yaml (empty: text for people)")
	return command
}

func (o *ingressCheckOptions) validate() error {
	switch {
	case o.cluster == (len(o.files) > 0):
		return usageError{errors.New("give either -f PATH or --cluster")}
	case o.output != "" && o.output != "json" && o.output != "yaml":
		return usageError{fmt.Errorf("-o %s: want json or yaml", o.output)}
	case !o.cluster && o.namespace != "":
		return usageError{errors.New("--namespace goes with --cluster")}
	}
	return nil
}

func (o *ingressCheckOptions) run(ctx context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	config := check.Config{Partial: !o.cluster || o.namespace != ""}
	if o.configMap != "" {
		namespace, name, ok := strings.Cut(o.configMap, "/")
		if !ok || namespace == "" || name == "" {
			return usageError{fmt.Errorf("--configmap %s: want NAMESPACE/NAME", o.configMap)}
		}
		config.ConfigMap = model.Ref{Namespace: namespace, Name: name}
	}
	objects, err := o.read(ctx, &config)
	if err != nil {
		return err
	}
	report := check.Check(objects, config)
	if err := o.print(out, report); err != nil {
		return err
	}
	switch report.Worst() {
	case check.Differs:
		return exitCode(exitDiffers)
	case check.Breaks:
		return exitCode(exitBreaks)
	}
	return nil
}

// read reads the objects, and settles which Ingresses are checked.
func (o *ingressCheckOptions) read(ctx context.Context, config *check.Config) (*manifest.Objects, error) {
	classes := ingress.DefaultClasses()
	classes.Name, classes.ByName, classes.WithoutClass = o.class, true, true
	owns := func(objects *manifest.Objects) {
		if !o.all {
			config.Owns = classes.Owns(&objects.Snapshot, config.Partial)
		}
	}
	if !o.cluster {
		objects, err := manifest.Read(o.files...)
		if err != nil {
			return nil, usageError{err}
		}
		owns(objects)
		o.guessConfigMap(objects, config)
		return objects, nil
	}
	restConfig, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return nil, usageError{err}
	}
	client, err := source.NewClient(restConfig)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	objects, err := manifest.FromCluster(ctx, client, o.namespace)
	if err != nil {
		return nil, err
	}
	owns(objects)
	return objects, o.fetchReferences(ctx, client, objects, config)
}

// usualConfigMap is what the manifests and charts of ingress-nginx call its ConfigMap.
const usualConfigMap = "ingress-nginx-controller"

// guessConfigMap takes the ConfigMap of ingress-nginx's usual name, where none is given.
func (o *ingressCheckOptions) guessConfigMap(objects *manifest.Objects, config *check.Config) {
	for ref, m := range objects.Snapshot.ConfigMaps.All() {
		if o.configMap == "" && ref.Name == usualConfigMap && m.Problem == "" {
			config.ConfigMap = ref
		}
	}
}

// fetchReferences reads the entry's ConfigMap, and then what it and the Ingresses name.
func (o *ingressCheckOptions) fetchReferences(ctx context.Context, client kubernetes.Interface, objects *manifest.Objects, config *check.Config) error {
	wanted := config.ConfigMap
	if wanted == (model.Ref{}) {
		wanted = model.Ref{Namespace: "ingress-nginx", Name: usualConfigMap}
	}
	if err := objects.Fetch(ctx, client, nil, []model.Ref{wanted}); err != nil {
		return err
	}
	o.guessConfigMap(objects, config)
	secrets, configMaps := check.References(objects, *config)
	return objects.Fetch(ctx, client, secrets, configMaps)
}

func (o *ingressCheckOptions) print(out io.Writer, report *check.Report) error {
	if o.output == "" {
		return report.Text(out)
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil && o.output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := fmt.Fprintln(out, strings.TrimRight(string(text), "\n")); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
