package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	resolver "github.com/miekg/dns"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/dns/lookup"
	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// serverTimeout is how long a name server may take for one question.
const serverTimeout = 5 * time.Second

// dnsQueryOptions is what the flags of `switchyard dns query` set.
type dnsQueryOptions struct {
	kubeconfig, namespace, from, server, zone, qtype string
}

// newDNSQueryCommand returns `switchyard dns query`.
func newDNSQueryCommand() *cobra.Command {
	var o dnsQueryOptions
	command := &cobra.Command{
		Use:   "query NAME",
		Short: "Show what a pod gets for a name: each question of the search, its answer, and the object behind it",
		Long: `Walk through the search list of a pod for a name, as its libc does, and show for each question the answer and the object that it
comes from, or which one is missing. Answers are those of the name table, made here and now from the API server. With --server, a name server
is asked the same questions, and its answers are shown too: they are what a pod gets, with plugins and caches between.`,
		Example: `  switchyard dns query web --from client -n shop
  switchyard dns query db-0.db.shop.svc.cluster.local --type AAAA --server 10.96.0.10
  switchyard dns query 10.96.0.80`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return o.run(command.Context(), command.OutOrStdout(), args[0])
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"file that says how to reach the API server (empty: $KUBECONFIG, else the pod's service account)")
	flags.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of the pod that asks")
	flags.StringVar(&o.from, "from", "", "the pod that asks, with its dnsPolicy and dnsConfig (empty: any with ClusterFirst)")
	flags.StringVar(&o.server, "server", "", "ask this name server too (address, or address:port)")
	flags.StringVar(&o.zone, "zone", "cluster.local", "the cluster's domain")
	flags.StringVar(&o.qtype, "type", "A", "type of the question (for an address: PTR)")
	return command
}

func (o *dnsQueryOptions) run(ctx context.Context, out io.Writer, name string) error {
	qtype, ok := resolver.StringToType[strings.ToUpper(o.qtype)]
	if !ok {
		return usageError{fmt.Errorf("--type %s: no type of a record", o.qtype)}
	}
	if reverse, err := resolver.ReverseAddr(name); err == nil {
		name, qtype = reverse, resolver.TypePTR
	}
	list, why, err := o.searchList(ctx)
	if err != nil {
		return err
	}
	snap, err := readSnapshot(ctx, o.kubeconfig, source.Config{
		Kinds: []source.Kind{source.Services, source.EndpointSlices, source.Namespaces},
	})
	if err != nil {
		return err
	}
	zones, err := o.zones(ctx, snap)
	if err != nil {
		return err
	}
	steps, err := lookup.Walk(list, name, qtype, zones, snap)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(out, "search %s, ndots %d (%s)\n", strings.Join(list.Search, " "), list.Dots, why)
	for i, step := range steps {
		fmt.Fprintf(out, "%d. %s %s\n", i+1, step.Name, resolver.TypeToString[qtype])
		if step.Rcode != "" {
			printAnswer(out, "table", step.Rcode, step.Records)
		}
		fmt.Fprintf(out, "   object  %s\n", step.Object)
		if o.server != "" {
			if err := o.askServer(out, step.Name, qtype); err != nil {
				return err
			}
		}
	}
	return nil
}

// printAnswer prints an answer and who gave it.
func printAnswer(out io.Writer, who, rcode string, records []resolver.RR) {
	if len(records) == 0 && rcode == "NOERROR" {
		rcode = "NOERROR, no records of this type"
	}
	fmt.Fprintf(out, "   %-7s %s\n", who, rcode)
	for _, rr := range records {
		fmt.Fprintf(out, "           %s\n", strings.ReplaceAll(rr.String(), "\t", " "))
	}
}

// askServer prints the answer of the name server.
func (o *dnsQueryOptions) askServer(out io.Writer, name string, qtype uint16) error {
	address := o.server
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "53")
	}
	question := new(resolver.Msg)
	question.SetQuestion(name, qtype)
	for _, network := range []string{"udp", "tcp"} {
		client := &resolver.Client{Net: network, Timeout: serverTimeout}
		answer, took, err := client.Exchange(question, address)
		if err != nil {
			return fmt.Errorf("--server %s: %w", o.server, err)
		}
		if answer.Truncated && network == "udp" {
			continue
		}
		printAnswer(out, "server", fmt.Sprintf("%s, %s, %s", resolver.RcodeToString[answer.Rcode], network, took.Round(time.Microsecond)), answer.Answer)
		break
	}
	return nil
}

// zones returns the name table of a snapshot, with the options of kubeadm's Corefile.
func (o *dnsQueryOptions) zones(ctx context.Context, snap *model.Snapshot) (*zone.Zones, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan struct{})
	live := zone.NewLive(zone.Config{Swapped: func(*zone.Table) { close(ready) }})
	done := make(chan struct{})
	go func() { defer close(done); _ = live.Run(ctx, &onlySnapshot{snap: snap}) }()
	<-ready
	cancel()
	<-done
	reverse := []string{"in-addr.arpa.", "ip6.arpa."}
	return zone.New(zone.Options{
		Zones: append([]string{resolver.CanonicalName(o.zone)}, reverse...), Pods: zone.PodsInsecure, TTL: 30, Fallthrough: reverse,
	}, live)
}

// onlySnapshot is a source with one snapshot.
type onlySnapshot struct {
	snap *model.Snapshot
	told bool
}

// Next implements zone.Snapshots.
func (s *onlySnapshot) Next(ctx context.Context) (*model.Snapshot, model.Changes, error) {
	if s.told {
		<-ctx.Done()
		return nil, model.Changes{}, ctx.Err()
	}
	s.told = true
	return s.snap, model.Changes{All: true}, nil
}

// defaultDots is the option ndots of pods.
const defaultDots = 5

// searchList returns the search list of the pod that asks, and where it is from.
func (o *dnsQueryOptions) searchList(ctx context.Context) (lookup.Resolver, string, error) {
	list := lookup.Resolver{Search: clusterSearch(o.namespace, o.zone), Dots: defaultDots}
	if o.from == "" {
		return list, "a pod in Namespace " + o.namespace + " with dnsPolicy ClusterFirst", nil
	}
	pod, err := o.pod(ctx)
	if err != nil {
		return list, "", err
	}
	list.Search = clusterSearch(pod.Namespace, o.zone)
	policy := pod.Spec.DNSPolicy
	switch {
	case policy == corev1.DNSDefault, policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork:
		wanted := corev1.DNSClusterFirst
		if pod.Spec.HostNetwork {
			wanted = corev1.DNSClusterFirstWithHostNet
		}
		return list, "", fmt.Errorf("pod %s/%s resolves as its node does (dnsPolicy %s, hostNetwork %t), which does not know the cluster's names: "+
			"give it dnsPolicy %s", pod.Namespace, pod.Name, policy, pod.Spec.HostNetwork, wanted)
	case policy == corev1.DNSNone:
		list = lookup.Resolver{Dots: 1}
	}
	if config := pod.Spec.DNSConfig; config != nil {
		list.Search = append(list.Search, config.Searches...)
		for _, option := range config.Options {
			if option.Name == "ndots" && option.Value != nil {
				if list.Dots, err = strconv.Atoi(*option.Value); err != nil {
					return list, "", fmt.Errorf("pod %s/%s: dnsConfig.options: ndots: %w", pod.Namespace, pod.Name, err)
				}
			}
		}
	}
	return list, fmt.Sprintf("pod %s/%s, dnsPolicy %s; its node may add to the list", pod.Namespace, pod.Name, policy), nil
}

// pod reads the pod that asks, given as NAME or NAMESPACE/NAME.
func (o *dnsQueryOptions) pod(ctx context.Context) (*corev1.Pod, error) {
	name := o.from
	if namespace, rest, ok := strings.Cut(o.from, "/"); ok {
		o.namespace, name = namespace, rest
	}
	restConfig, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return nil, usageError{err}
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pod, err := client.CoreV1().Pods(o.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("--from %s: %w", o.from, err)
	}
	return pod, nil
}
