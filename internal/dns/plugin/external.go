package plugin

import (
	"context"

	coredns "github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/dnsutil"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// longestChain is the number of aliases that are followed, as in CoreDNS.
const longestChain = 10

// external returns the answer for a name that is an alias for target, which is resolved further: by the table where it
// is in the same zone, else from the beginning of the chain. An alias that leads nowhere in its zone is left out, as in CoreDNS.
func (h *Handler) external(ctx context.Context, state request.Request, target string) (*dns.Msg, error) {
	records, truncated := h.follow(ctx, state, target, nil)
	if len(records) == 0 {
		// Any type but those of addresses is answered with no records and the SOA.
		m, _, err := h.ask(h.zones.Live().Table(), state.QName(), dns.TypeHINFO)
		return m, err
	}
	m := new(dns.Msg)
	m.Answer, m.Truncated = records, truncated
	return m, nil
}

// follow returns the alias of state's name for target and the records that it leads to; before are the aliases that led
// here.
func (h *Handler) follow(ctx context.Context, state request.Request, target string, before []dns.RR) ([]dns.RR, bool) {
	target = dns.Fqdn(target)
	alias := &dns.CNAME{
		Hdr:    dns.RR_Header{Name: state.QName(), Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: h.options.TTL},
		Target: target,
	}
	if dns.IsSubDomain(state.Name(), target) || len(before) > longestChain || dnsutil.DuplicateCNAME(alias, before) {
		return nil, false
	}
	if !dns.IsSubDomain(coredns.Zones(h.options.Zones).Matches(state.Name()), target) {
		return h.lookup(ctx, state, alias)
	}
	next := state.NewWithQuestion(target, state.QType())
	answer, reply, err := h.ask(h.zones.Live().Table(), target, state.QType())
	switch {
	case err != nil:
		return nil, false
	case reply.Verdict == zone.Answered:
		if len(answer.Answer) == 0 {
			return nil, false
		}
		return append([]dns.RR{alias}, answer.Answer...), answer.Truncated
	case reply.Cause == zone.External:
		records, truncated := h.follow(ctx, next, reply.Target, append(before, alias))
		if len(records) == 0 {
			return nil, truncated
		}
		return append([]dns.RR{alias}, records...), truncated
	}
	return nil, false
}

// lookup returns an alias for a name outside of the zone, and what the whole chain says of that name: the alias stays even if it leads
// nowhere.
func (h *Handler) lookup(ctx context.Context, state request.Request, alias *dns.CNAME) ([]dns.RR, bool) {
	m, err := h.upstream.Lookup(ctx, state, alias.Target, state.QType())
	if err != nil || m == nil {
		return nil, false
	}
	return append([]dns.RR{alias}, m.Answer...), m.Truncated
}
