package plugin

import (
	"slices"
	"strings"

	"github.com/coredns/coredns/plugin/transfer"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// Transfer is what the plugin `transfer` asks for: all names of one of our zones but those of pods, from one table.
// There is no history for an IXFR: whoever has an older serial gets everything.
func (h *Handler) Transfer(origin string, serial uint32) (<-chan []dns.RR, error) {
	origin = strings.ToLower(origin)
	if !slices.Contains(h.options.Zones, origin) {
		return nil, transfer.ErrNotAuthoritative
	}
	t := h.zones.Live().Table()
	soa, _, err := h.ask(t, origin, dns.TypeSOA)
	if err != nil || !t.Synced() {
		return nil, transfer.ErrNotAuthoritative
	}
	out := make(chan []dns.RR)
	go func() {
		defer close(out)
		out <- soa.Answer
		if serial != 0 && int32(serial-t.Serial()) >= 0 { // RFC 1982
			return
		}
		h.send(out, t, zone.Name{Name: origin, Type: dns.TypeNS})
		for n := range h.zones.Names(t, origin) {
			h.send(out, t, n)
		}
		out <- soa.Answer
	}()
	return out, nil
}

// send sends the records of a name, with the addresses of name servers.
func (h *Handler) send(out chan<- []dns.RR, t *zone.Table, n zone.Name) {
	m, reply, err := h.ask(t, n.Name, n.Type)
	if err != nil || reply.Verdict == zone.Chain || len(m.Answer) == 0 {
		return
	}
	out <- m.Answer
	if n.Type == dns.TypeNS {
		out <- m.Extra
	}
}
