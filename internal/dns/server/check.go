package server

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"

	"github.com/switchyard-net/switchyard/internal/dns/plugin"
	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Check returns how each zone of a configuration's Corefile would be served, or where the Corefile is wrong. Every plugin reads its
// directive and the files that it names, but nothing is started. selector parses a label selector, as in plugin.Deps.
func (c Config) Check(selector func(string) (func(model.Labels) bool, error)) ([]Status, error) {
	corefile, err := c.corefile()
	if err != nil {
		return nil, err
	}
	parsed, err := corefile.parse()
	if err != nil {
		return nil, err
	}
	for _, p := range parsed {
		for name, tokens := range p.Tokens {
			if !slices.Contains(directives(), name) {
				return nil, fmt.Errorf("%s - Unknown directive '%s'", at(tokens[0]), name)
			}
		}
	}
	in := &input{
		corefile: corefile, parsed: parsed, blocks: analyze(parsed), bind: c.Bind, serving: func(*dnsserver.Server) {},
		deps: plugin.Deps{
			Live: zone.NewLive(zone.Config{}), Log: slog.New(slog.DiscardHandler),
			Keeps: plugin.Keeps{PodNames: true, Labels: true}, Selector: selector,
		},
	}
	process, err := register()
	if err != nil {
		return nil, err
	}
	if err := process.check(in); err != nil {
		return nil, locate(err, parsed)
	}
	var all []Status
	for i, b := range in.blocks {
		for _, zone := range zones(parsed[i].Keys) {
			all = append(all, Status{Zone: zone, Where: b.where, Slow: b.slow, Uncached: b.uncached})
		}
	}
	return all, nil
}

// check has the plugins read a Corefile.
func (p *process) check(in *input) error {
	p.checks.Lock()
	defer p.checks.Unlock()
	p.checked.Store(in)
	defer p.checked.Store(nil)
	return caddy.ValidateAndExecuteDirectives(in, nil, true)
}

// inputOf returns the input of the instance that c sets up, which for one that is only checked caddy.Instances does not have.
func (p *process) inputOf(c *caddy.Controller) (*input, error) {
	in, err := inputOf(c)
	if checked := p.checked.Load(); err != nil && checked != nil {
		return checked, nil
	}
	return in, err
}
