package plugin

import (
	"strconv"
	"strings"
	"time"

	"github.com/coredns/caddy"
	coredns "github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/fall"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Defaults and bounds of CoreDNS 1.15.
const (
	defaultTTL            = 5
	longestTTL            = 3600
	defaultStartupTimeout = 5 * time.Second
)

// parser reads one directive. Each of its errors says in which line of the Corefile it is.
type parser struct {
	*caddy.Controller
	deps           Deps
	name           string // of the property at hand
	options        zone.Options
	startupTimeout time.Duration
}

// parse reads the directive of a server block.
func parse(c *caddy.Controller, deps Deps) (*parser, error) {
	p := &parser{
		Controller: c, deps: deps, startupTimeout: defaultStartupTimeout,
		options: zone.Options{TTL: defaultTTL, Pods: zone.PodsDisabled},
	}
	for i := 0; c.Next(); i++ {
		if i > 0 {
			return nil, c.Err(coredns.ErrOnce.Error())
		}
		p.options.Zones = coredns.OriginsFromArgsOrServerBlock(c.RemainingArgs(), c.ServerBlockKeys)
		for c.NextBlock() {
			if err := p.property(c.Val()); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// property reads one line of the block.
func (p *parser) property(name string) error {
	read, ok := properties()[name]
	if !ok {
		return p.Errf("unknown property '%s'", name)
	}
	p.name = name
	return read(p, p.RemainingArgs())
}

// properties returns how each property is read.
func properties() map[string]func(*parser, []string) error {
	return map[string]func(*parser, []string) error{
		"endpoint_pod_names":     (*parser).endpointPodNames,
		"pods":                   (*parser).pods,
		"namespaces":             (*parser).namespaces,
		"labels":                 (*parser).labels,
		"namespace_labels":       (*parser).namespaceLabels,
		"fallthrough":            (*parser).fallsThrough,
		"ttl":                    (*parser).ttl,
		"noendpoints":            toggle(func(o *zone.Options) { o.NoEndpoints = true }),
		"zonal":                  toggle(func(o *zone.Options) { o.Zonal = true }),
		"ignore":                 (*parser).ignore,
		"startup_timeout":        (*parser).timeout,
		"multicluster":           (*parser).multicluster,
		"endpoint":               unused(1, 0, nil),
		"tls":                    unused(3, 3, nil),
		"kubeconfig":             unused(1, 2, nil),
		"apiserver_qps":          unused(1, 1, positiveFloat),
		"apiserver_burst":        unused(1, 1, positiveInt),
		"apiserver_max_inflight": unused(1, 1, positiveInt),
	}
}

// toggle reads a property without arguments.
func toggle(set func(*zone.Options)) func(*parser, []string) error {
	return func(p *parser, args []string) error {
		if len(args) > 0 {
			return p.ArgErr()
		}
		set(&p.options)
		return nil
	}
}

// unused reads a property that says how to reach the API server, which is the source's business here: it is checked and
// otherwise ignored. most 0: any number of arguments from least on.
func unused(least, most int, check func(string) string) func(*parser, []string) error {
	return func(p *parser, args []string) error {
		if len(args) < least || most > 0 && len(args) > most {
			return p.ArgErr()
		}
		if check != nil {
			if wrong := check(args[0]); wrong != "" {
				return p.Errf("%s %q %s", p.name, args[0], wrong)
			}
		}
		p.deps.Log.Info("the Corefile's property has no effect here: the API server is read by the process, not by the plugin",
			"property", p.name, "file", p.File(), "line", p.Line())
		return nil
	}
}

// positiveFloat and positiveInt say what is wrong with a number, "" for nothing.
func positiveFloat(s string) string {
	if v, err := strconv.ParseFloat(s, 32); err != nil || !(v >= 0) {
		return "is not a number >= 0"
	}
	return ""
}

func positiveInt(s string) string {
	if v, err := strconv.Atoi(s); err != nil || v < 0 {
		return "is not a whole number >= 0"
	}
	return ""
}

func (p *parser) endpointPodNames(args []string) error {
	if len(args) > 0 {
		return p.ArgErr()
	}
	if !p.deps.Keeps.PodNames {
		return p.Err("endpoint_pod_names needs the names of pods, which this process was started without; restart it")
	}
	p.options.EndpointPodNames = true
	return nil
}

func (p *parser) pods(args []string) error {
	if len(args) != 1 {
		return p.ArgErr()
	}
	mode, ok := map[string]zone.PodMode{
		"disabled": zone.PodsDisabled, "insecure": zone.PodsInsecure, "verified": zone.PodsVerified,
	}[args[0]]
	if !ok {
		return p.Errf("wrong value for pods: %s, must be one of: disabled, verified, insecure", args[0])
	}
	p.options.Pods = mode
	return nil
}

func (p *parser) namespaces(args []string) error {
	if len(args) == 0 {
		return p.ArgErr()
	}
	p.options.Namespaces = append(p.options.Namespaces, args...)
	return nil
}

func (p *parser) labels(args []string) error {
	selector, err := p.selector(args)
	p.options.Labels = selector
	return err
}

func (p *parser) namespaceLabels(args []string) error {
	selector, err := p.selector(args)
	p.options.NamespaceLabels = selector
	return err
}

func (p *parser) selector(args []string) (func(model.Labels) bool, error) {
	if len(args) == 0 {
		return nil, p.ArgErr()
	}
	if !p.deps.Keeps.Labels || p.deps.Selector == nil {
		return nil, p.Errf("%s needs the labels of objects, which this process was started without; restart it", p.name)
	}
	selector, err := p.deps.Selector(strings.Join(args, " "))
	if err != nil {
		return nil, p.Errf("unable to parse %s: %v", p.name, err)
	}
	return selector, nil
}

func (p *parser) fallsThrough(args []string) error {
	var f fall.F
	f.SetZonesFromArgs(args)
	p.options.Fallthrough = f.Zones
	return nil
}

func (p *parser) ttl(args []string) error {
	if len(args) == 0 {
		return p.ArgErr()
	}
	ttl, err := strconv.Atoi(args[0])
	if err != nil {
		return p.Errf("ttl %q is not a whole number of seconds", args[0])
	}
	if ttl < 0 || ttl > longestTTL {
		return p.Errf("ttl must be in range [0, %d]: %d", longestTTL, ttl)
	}
	p.options.TTL = uint32(ttl)
	return nil
}

func (p *parser) ignore(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] != "empty_service" {
		return p.Errf("unable to parse ignore value: '%v'", args[0])
	}
	p.options.IgnoreEmpty = true
	return nil
}

func (p *parser) timeout(args []string) error {
	if len(args) == 0 {
		return p.ArgErr()
	}
	timeout, err := time.ParseDuration(args[0])
	if err != nil || timeout < 0 {
		return p.Errf("failed to parse startup_timeout: %v is not a duration like 5s", args[0])
	}
	p.startupTimeout = timeout
	return nil
}

func (p *parser) multicluster([]string) error {
	return p.Err("multicluster is not supported: ServiceImports (KEP-1645) are not read; remove the property")
}
