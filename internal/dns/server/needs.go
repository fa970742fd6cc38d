package server

import (
	"slices"

	"github.com/coredns/caddy/caddyfile"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// Needs says what a Corefile asks to be known of the cluster besides Services, slices and Namespaces.
type Needs struct {
	// PodNames are those of endpoints (endpoint_pod_names).
	PodNames bool
	// Labels are those of Services and Namespaces (labels, namespace_labels).
	Labels bool
	// Pods are the pods themselves (pods verified, autopath, metadata).
	Pods bool
}

// Needs returns what the Corefile of a configuration needs as it is now. A later one that needs more is refused.
func (c Config) Needs() (Needs, error) {
	corefile, err := c.corefile()
	if err != nil {
		return Needs{}, err
	}
	blocks, err := corefile.parse()
	if err != nil {
		return Needs{}, err
	}
	var n Needs
	for _, b := range blocks {
		for _, name := range []string{plugin.Directive, plugin.KubernetesDirective} {
			tokens := b.Tokens[name]
			n.PodNames = n.PodNames || hasWord(tokens, "endpoint_pod_names")
			n.Labels = n.Labels || hasWord(tokens, "labels") || hasWord(tokens, "namespace_labels")
			n.Pods = n.Pods || hasWord(tokens, "verified")
		}
		_, autopath := b.Tokens["autopath"]
		_, metadata := b.Tokens["metadata"]
		n.Pods = n.Pods || autopath || metadata
	}
	return n, nil
}

func hasWord(tokens []caddyfile.Token, word string) bool {
	return slices.ContainsFunc(tokens, func(t caddyfile.Token) bool { return t.Text == word })
}
