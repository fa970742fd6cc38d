package plugin

import (
	"log/slog"
	"net/netip"

	"github.com/coredns/caddy"
	coredns "github.com/coredns/coredns/plugin"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// The directives that the plugin answers to; both belong in the list for dnsserver.SetDirectives, at the place that
// `kubernetes` has in CoreDNS's plugin.cfg. The name of the handler is that of its directive, so that `autopath
// @kubernetes` finds it.
const (
	Directive           = "switchyard"
	KubernetesDirective = "kubernetes"
)

// Deps are what the plugin's instances of one server work with.
type Deps struct {
	Live *zone.Live
	Log  *slog.Logger
	// Keeps says what the source keeps for options that need it; an option that needs more is an error of the Corefile.
	Keeps Keeps
	// Selector parses a label selector; source.ParseSelector does. nil: labels and namespace_labels are errors.
	Selector func(string) (func(model.Labels) bool, error)
	// PodAt returns the pod of this node that has an address, for `pods verified`, autopath and metadata; nil: nothing
	// is known of pods, `pods verified` has no pod records and autopath does nothing.
	PodAt func(netip.Addr) (Pod, bool)
	// Search is the search list of the machine, fully qualified, which autopath tries after that of the cluster.
	Search []string
	// Addrs are the addresses at which pods reach this server, for the NS records; nil: those of the server block's
	// `bind`, else of the machine, without loopback.
	Addrs func() []netip.Addr
}

// Keeps says which facts the source keeps only on demand.
type Keeps struct {
	PodNames bool // for endpoint_pod_names: source.Config.OmitPodNames is false, zone.Config.PodNames is true
	Labels   bool // for labels and namespace_labels: source.Config.Labels is true
}

// Pod is a pod of this node.
type Pod struct {
	Ref    model.Ref
	Labels model.Labels
}

// Register registers both directives with CoreDNS. The registry is that of the process: it must be called once, before
// the first server starts. resolve is called for each server block that uses a directive, and returns what the server at
// hand works with.
func Register(resolve func(*caddy.Controller) (Deps, error)) {
	for _, name := range []string{Directive, KubernetesDirective} {
		coredns.Register(name, func(c *caddy.Controller) error {
			deps, err := resolve(c)
			if err != nil {
				return coredns.Error(name, err)
			}
			if err := setup(c, name, deps); err != nil {
				return coredns.Error(name, err)
			}
			return nil
		})
	}
}
