package server

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/coredns/caddy/caddyfile"
	corednsplugin "github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/parse"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
	"github.com/switchyard-net/switchyard/internal/dns/plugin"
)

// block is what a server block means for the fast path.
type block struct {
	// where is the first line of the block's directives, as "Corefile:2".
	where string
	// keys is the number of zones that the block serves, networks split into their reverse zones.
	keys int
	// directive is the one of ours that the block uses; empty: none.
	directive string
	// slow says why CoreDNS has to see every question of the block; empty: it has not.
	slow string
	// slowListener says why CoreDNS has to see every question of the block's listeners, whatever their blocks.
	slowListener string
	bound        bool // by the directive bind
	rotate       bool
	denialsGoOn  bool
	counted      bool
	clamped      bool
	bufferSize   uint16 // 0: the client's
	// caches is what may be kept of the block's answers; nil: nothing, and uncached says why.
	caches   *fastpath.CacheConfig
	uncached string
}

// analyze returns what the server blocks of a Corefile mean for the fast path.
func analyze(parsed []caddyfile.ServerBlock) []block {
	blocks := make([]block, len(parsed))
	for i, p := range parsed {
		blocks[i] = newBlock(p)
	}
	return blocks
}

func newBlock(p caddyfile.ServerBlock) block {
	b := block{where: position(p), keys: len(zones(p.Keys))}
	for _, name := range []string{plugin.Directive, plugin.KubernetesDirective} {
		if _, ok := p.Tokens[name]; ok && b.directive == "" {
			b.directive = name
		}
	}
	_, b.bound = p.Tokens["bind"]
	_, b.counted = p.Tokens["prometheus"]
	_, b.denialsGoOn = p.Tokens["autopath"]
	b.slowListener = slowListener(p)
	if b.slow = b.slowReason(p); b.slow != "" {
		return b
	}
	rules := readCache(p, b.directive)
	if b.slow = rules.changes(timeToLive(p.Tokens[b.directive])); b.slow == "" {
		b.clamped, b.uncached = rules.clamps, rules.uncached
		if b.uncached == "" {
			b.caches = &rules.config
		}
	}
	return b
}

// position returns where a block's first directive is.
func position(p caddyfile.ServerBlock) string {
	var first caddyfile.Token
	for _, tokens := range p.Tokens {
		if first.Line == 0 || tokens[0].Line < first.Line {
			first = tokens[0]
		}
	}
	return at(first)
}

func at(t caddyfile.Token) string { return fmt.Sprintf("%s:%d", t.File, t.Line) }

// zones returns the zones of a block's keys, as CoreDNS does: a network is one or more reverse zones.
func zones(keys []string) []string {
	var all []string
	for _, key := range keys {
		_, rest := parse.Transport(key)
		hosts, _, err := corednsplugin.SplitHostPort(rest)
		if err != nil {
			continue // CoreDNS reports it
		}
		for _, host := range hosts {
			all = append(all, corednsplugin.Name(host).Normalize())
		}
	}
	return all
}

// blind are directives that stand before ours in the chain, and do nothing to plain questions for the cluster zone.
func blind() []string {
	return []string{
		"root", "metadata", "cancel", "timeouts", reloadDirective, "nsid", "bind", "debug", "ready", "health", "pprof",
		"errors", "any", "chaos", "tls", "transfer",
		// These have their like in the fast path.
		"bufsize", "prometheus", "loadbalance", "cache", "autopath",
	}
}

// slowListener returns what the sockets of the fast path could not honour.
func slowListener(p caddyfile.ServerBlock) string {
	for _, name := range []string{"multisocket", "tsig"} {
		if tokens, ok := p.Tokens[name]; ok {
			return fmt.Sprintf("%s (%s) concerns the sockets themselves", name, at(tokens[0]))
		}
	}
	return ""
}

// slowReason reads what the fast path has to imitate, and says what it cannot.
func (b *block) slowReason(p caddyfile.ServerBlock) string {
	if b.directive == "" {
		return "neither switchyard nor kubernetes is in the block"
	}
	if b.slowListener != "" {
		return b.slowListener
	}
	if tokens, ok := p.Tokens["view"]; ok {
		return fmt.Sprintf("view (%s) chooses the block by the question", at(tokens[0]))
	}
	for _, name := range directives() {
		if name == b.directive {
			break
		}
		if tokens, ok := p.Tokens[name]; ok && !slices.Contains(blind(), name) {
			return fmt.Sprintf("%s (%s) sees every question first", name, at(tokens[0]))
		}
	}
	if tokens, ok := p.Tokens["loadbalance"]; ok {
		b.rotate = true
		if len(tokens) > 2 || len(tokens) == 2 && tokens[1].Text != "round_robin" {
			return fmt.Sprintf("loadbalance (%s) does more than round_robin", at(tokens[0]))
		}
	}
	if tokens, ok := p.Tokens["bufsize"]; ok {
		b.bufferSize = 1232 // the default of plugin/bufsize
		if len(tokens) > 1 {
			size, err := strconv.ParseUint(tokens[1].Text, 10, 16)
			if err != nil {
				return fmt.Sprintf("bufsize (%s) is not understood", at(tokens[1]))
			}
			b.bufferSize = uint16(size)
		}
	}
	return ""
}
