package server

import (
	"errors"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	_ "github.com/coredns/caddy/onevent" // directive on
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/acl"
	_ "github.com/coredns/coredns/plugin/any"
	_ "github.com/coredns/coredns/plugin/auto"
	_ "github.com/coredns/coredns/plugin/autopath"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/bufsize"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/cancel"
	_ "github.com/coredns/coredns/plugin/chaos"
	_ "github.com/coredns/coredns/plugin/debug"
	_ "github.com/coredns/coredns/plugin/dns64"
	_ "github.com/coredns/coredns/plugin/erratic"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/header"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/local"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metadata"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/minimal"
	_ "github.com/coredns/coredns/plugin/multisocket"
	_ "github.com/coredns/coredns/plugin/nsid"
	_ "github.com/coredns/coredns/plugin/pprof"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/rewrite"
	_ "github.com/coredns/coredns/plugin/root"
	_ "github.com/coredns/coredns/plugin/secondary"
	_ "github.com/coredns/coredns/plugin/shed"
	_ "github.com/coredns/coredns/plugin/sign"
	_ "github.com/coredns/coredns/plugin/siit"
	_ "github.com/coredns/coredns/plugin/template"
	_ "github.com/coredns/coredns/plugin/timeouts"
	_ "github.com/coredns/coredns/plugin/tls"
	_ "github.com/coredns/coredns/plugin/transfer"
	_ "github.com/coredns/coredns/plugin/tsig"
	_ "github.com/coredns/coredns/plugin/view"
	_ "github.com/coredns/coredns/plugin/whoami"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// serverType is the name under which CoreDNS registers with Caddy.
const serverType = "dns"

// directives returns the directives that a Corefile may use, in the order in which their plugins see a query: that of CoreDNS
// 1.15's plugin.cfg, without what would bring the development kit of a cloud with it (dnssec, route53, azure, clouddns,
// trace), what needs a server we do not link (dynupdate, etcd, nomad, dnstap, geoip, grpc, proxyproto, and the settings of
// DoH, DoH3, DoQ and gRPC listeners), and k8s_external, which works on the inside of CoreDNS's own kubernetes plugin.
func directives() []string {
	return []string{
		"root", "metadata", "cancel", "timeouts", "multisocket", reloadDirective, "nsid", "bufsize", "bind", "debug", "ready",
		"health", "pprof", "shed", "prometheus", "errors", "log", "local", "dns64", "siit", "any", "chaos", "loadbalance", "tsig",
		"rewrite", "autopath", "acl", "cache", "header", "tls", "minimal", "template", "transfer", "hosts",
		plugin.Directive, plugin.KubernetesDirective,
		"file", "auto", "secondary", "loop", "forward", "erratic", "whoami", "on", "sign", "view",
	}
}

// leftOut are directives of CoreDNS 1.15 that are not built in, for an error that says so.
func leftOut() []string {
	return []string{
		"geoip", "proxyproto", "quic", "grpc_server", "https", "https3", "trace", "dnstap", "dnssec", "dynupdate", "route53",
		"azure", "clouddns", "k8s_external", "etcd", "grpc", "nomad",
	}
}

// input is a Corefile with what the server that reads it works with. It serves one instance.
type input struct {
	corefile Corefile
	parsed   []caddyfile.ServerBlock
	blocks   []block
	deps     plugin.Deps
	// bind is Config.Bind.
	bind []string
	// serving is called for each plain DNS server that begins to serve.
	serving func(*dnsserver.Server)
	begun   begun
	// configs are those of each server block, one a zone; nil until one of our directives was set up.
	configs [][]*dnsserver.Config
}

var _ caddy.Input = (*input)(nil)

// Body implements caddy.Input.
func (in *input) Body() []byte { return in.corefile.Text }

// Path implements caddy.Input; errors are reported with it.
func (in *input) Path() string { return in.corefile.Path }

// ServerType implements caddy.Input.
func (in *input) ServerType() string { return serverType }

// inputKey is the key of a mark in the storage of a caddy.Instance.
type inputKey struct{ _ byte }

// inputOf returns the input of the instance that c sets up. Controllers know their instance and keep it to themselves, but
// share its storage: a mark there tells it from the others.
func inputOf(c *caddy.Controller) (*input, error) {
	key := &inputKey{}
	c.Set(key, true)
	for _, instance := range caddy.Instances() {
		instance.StorageMu.RLock()
		_, found := instance.Storage[key]
		instance.StorageMu.RUnlock()
		if in, ok := instance.Caddyfile().(*input); ok && found {
			return in, nil
		}
	}
	return nil, errors.New("bug: a server block is set up outside of a server")
}
