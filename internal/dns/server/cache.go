package server

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/coredns/caddy/caddyfile"
	corednsplugin "github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/fastpath"
)

// cacheRules is what the plugin cache of a server block means for the fast path.
type cacheRules struct {
	where  string
	config fastpath.CacheConfig
	// uncached says why the fast path may keep nothing.
	uncached string
	// clamps is true if answers for the cluster zone pass through the cache: even where it keeps nothing of them, it
	// confines their times to live to these ranges, in seconds.
	clamps          bool
	success, denial [2]int
}

// The ranges of plugin/cache without options, and the time to live of plugin/kubernetes without the option ttl, in seconds.
const (
	defaultTTL     = 5
	leastTTL       = 5
	mostSuccessTTL = 3600
	mostDenialTTL  = 1800
)

// readCache reads the directive cache of a block.
func readCache(p caddyfile.ServerBlock, directive string) cacheRules {
	tokens, ok := p.Tokens["cache"]
	if !ok {
		return cacheRules{uncached: "the block has no cache"}
	}
	own := caddyfile.NewDispenserTokens("", p.Tokens[directive])
	own.Next()
	r := cacheRules{
		where: at(tokens[0]), success: [2]int{leastTTL, mostSuccessTTL}, denial: [2]int{leastTTL, mostDenialTTL},
		config: fastpath.CacheConfig{Exclude: corednsplugin.OriginsFromArgsOrServerBlock(own.RemainingArgs(), p.Keys)},
	}
	d := caddyfile.NewDispenserTokens(tokens[0].File, tokens)
	d.Next()
	args := d.RemainingArgs()
	if len(args) > 0 {
		if ttl, err := strconv.Atoi(args[0]); err == nil {
			args = args[1:]
			r.success[1], r.denial[1] = ttl, ttl
		}
	}
	r.config.Zones = corednsplugin.OriginsFromArgsOrServerBlock(args, p.Keys)
	for d.NextBlock() {
		r.option(d.Val(), d.RemainingArgs(), fmt.Sprintf("%s:%d", d.File(), d.Line()))
	}
	r.clamps = overlap(r.config.Zones, r.config.Exclude)
	autopath, ok := p.Tokens["autopath"]
	if ok && !slices.ContainsFunc(autopath, func(t caddyfile.Token) bool { return t.Text == "@"+directive }) {
		r.uncached = fmt.Sprintf("autopath (%s) has a search list of its own", at(autopath[0]))
	}
	return r
}

// option reads one line of the block of cache. Mistakes are reported by CoreDNS.
func (r *cacheRules) option(name string, args []string, where string) {
	switch name {
	case "success":
		bounds(&r.success, args)
	case "denial":
		bounds(&r.denial, args)
	case "servfail": // failures are not kept
	case "disable":
		disable(&r.config, args)
	default:
		r.uncached = fmt.Sprintf("cache (%s) has the option %s", where, name)
	}
}

// bounds reads `CAPACITY [TTL] [MINTTL]`.
func bounds(ttl *[2]int, args []string) {
	for i, bound := range []int{1, 0} {
		if i+1 < len(args) {
			if n, err := strconv.Atoi(args[i+1]); err == nil {
				ttl[bound] = n
			}
		}
	}
}

// disable notes `disable success|denial [ZONES...]`.
func disable(config *fastpath.CacheConfig, args []string) {
	if len(args) == 0 {
		return
	}
	zones := []string{"."}
	if len(args) > 1 {
		zones = nil
		for _, z := range args[1:] {
			zones = append(zones, corednsplugin.Name(z).Normalize())
		}
	}
	switch args[0] {
	case "success":
		config.NoSuccess = append(config.NoSuccess, zones...)
	case "denial":
		config.NoDenial = append(config.NoDenial, zones...)
	}
}

// overlap reports whether names can be in a zone of each list.
func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if dns.IsSubDomain(x, y) || dns.IsSubDomain(y, x) {
				return true
			}
		}
	}
	return false
}

// changes says that the cache gives the cluster zone other times to live than its own; empty: it does not.
func (r *cacheRules) changes(ttl int) string {
	if !r.clamps {
		return ""
	}
	for _, bounds := range [][2]int{r.success, r.denial} {
		if ttl < bounds[0] || ttl > bounds[1] {
			return fmt.Sprintf("cache (%s) confines times to live to %d to %d seconds, and those of the cluster zone are %d",
				r.where, bounds[0], bounds[1], ttl)
		}
	}
	return ""
}

// timeToLive returns what our directive says about times to live, in seconds.
func timeToLive(tokens []caddyfile.Token) int {
	for i, t := range tokens[:len(tokens)-1] {
		if t.Text == "ttl" && i > 0 && tokens[i-1].Line != t.Line {
			if ttl, err := strconv.Atoi(tokens[i+1].Text); err == nil {
				return ttl
			}
		}
	}
	return defaultTTL
}
