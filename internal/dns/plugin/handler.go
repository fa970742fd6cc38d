package plugin

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	coredns "github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// Handler is the plugin in one server block. After caddy.Start, the fast path finds it with
// config.Handler(Directive or KubernetesDirective).(*Handler).
type Handler struct {
	name  string
	deps  Deps
	zones *zone.Zones
	// options are those of zones.
	options zone.Options
	// upstream looks up names from the beginning of the chain.
	upstream resolver
	next     coredns.Handler
}

// resolver is upstream.Upstream.
type resolver interface {
	Lookup(ctx context.Context, state request.Request, name string, typ uint16) (*dns.Msg, error)
}

var _ coredns.Handler = (*Handler)(nil)

// Name is the directive's.
func (h *Handler) Name() string { return h.name }

// Zones answers without the chain, for the fast path.
func (h *Handler) Zones() *zone.Zones { return h.zones }

// Ready reports whether there was a complete snapshot; the plugin `ready` asks for it.
func (h *Handler) Ready() bool { return h.zones.Live().Table().Synced() }

// ServeDNS implements coredns.Handler.
func (h *Handler) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: r}
	answer, reply, err := h.ask(h.zones.Live().Table(), state.QName(), state.QType())
	if err != nil {
		return dns.RcodeServerFailure, coredns.Error(h.name, err)
	}
	if reply.Verdict == zone.Chain {
		switch reply.Cause {
		case zone.Transfer:
			return dns.RcodeRefused, nil
		case zone.External:
			answer, err = h.external(ctx, state, reply.Target)
			if err != nil {
				return dns.RcodeServerFailure, coredns.Error(h.name, err)
			}
		default:
			return coredns.NextOrFailure(h.name, h.next, ctx, w, r)
		}
	}
	m := new(dns.Msg)
	m.SetRcode(r, answer.Rcode)
	m.Authoritative = true
	m.Truncated = answer.Truncated
	m.Answer, m.Ns, m.Extra = answer.Answer, answer.Ns, answer.Extra
	if err := w.WriteMsg(m); err != nil {
		return dns.RcodeServerFailure, coredns.Error(h.name, err)
	}
	return dns.RcodeSuccess, nil
}

const (
	headerSize = 12
	// roomSize is what most answers need, and largest what none exceeds.
	roomSize, largest = 1024, 65535
	// responseBit is QR, truncatedBit TC in the second word of a header (RFC 1035, 4.1.1).
	responseBit, truncatedBit = 1 << 15, 1 << 9
)

// ask returns the table's answer to a question. It is the one that the fast path gives, from the same bytes.
func (h *Handler) ask(t *zone.Table, name string, kind uint16) (*dns.Msg, zone.Reply, error) {
	room := make([]byte, roomSize)
	end, err := dns.PackDomainName(name, room, headerSize, nil, false)
	if err != nil {
		return nil, zone.Reply{}, fmt.Errorf("pack the name %q: %w", name, err)
	}
	question := binary.BigEndian.AppendUint16(room[:end], kind)
	question = binary.BigEndian.AppendUint16(question, dns.ClassINET)
	msg, reply := h.zones.AnswerFrom(t, question, zone.Question{Name: lowered(room[headerSize:end]), Type: kind, Size: largest})
	if reply.Verdict == zone.Chain {
		return nil, reply, nil
	}
	flags := uint16(responseBit) | uint16(reply.Rcode)
	if reply.Truncated {
		flags |= truncatedBit
	}
	for i, v := range []uint16{0, flags, 1, reply.Answers, reply.Authorities, reply.Additionals} {
		binary.BigEndian.PutUint16(msg[2*i:], v)
	}
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		return nil, reply, fmt.Errorf("bug: the answer for %q cannot be read: %w", name, err)
	}
	return m, reply, nil
}

// lowered returns a name in wire format in lower case. The lengths of labels are no letters.
func lowered(name []byte) []byte {
	out := make([]byte, len(name))
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}

// wire returns a name in wire format and lower case, nil if it is none.
func wire(name string) []byte {
	room := make([]byte, maxName)
	n, err := dns.PackDomainName(name, room, 0, nil, false)
	if err != nil {
		return nil
	}
	return lowered(room[:n])
}

// maxName is the greatest length of a name in wire format (RFC 1035, 2.3.4).
const maxName = 255

// client returns the pod of this node that asks.
func (h *Handler) client(state request.Request) (Pod, bool) {
	addr, err := netip.ParseAddr(state.IP())
	if err != nil || h.deps.PodAt == nil {
		return Pod{}, false
	}
	return h.deps.PodAt(addr.Unmap())
}

// AutoPath implements autopath.AutoPather: the search list of the pod that asks, if it is one of this node. Unlike
// CoreDNS's it needs no `pods verified`.
func (h *Handler) AutoPath(state request.Request) []string {
	origin := coredns.Zones(h.options.Zones).Matches(state.Name())
	if origin == "" {
		return nil
	}
	pod, ok := h.client(state)
	if !ok {
		return nil
	}
	// There is nothing to search for; and the plugin would add the alias of such a name a second time.
	if _, reply, err := h.ask(h.zones.Live().Table(), state.QName(), state.QType()); err == nil && reply.Cause == zone.External {
		return nil
	}
	services := "svc." + strings.TrimPrefix(origin, ".")
	search := []string{pod.Ref.Namespace + "." + services, services, origin}
	return append(append(search, h.deps.Search...), "")
}
