package corednsdiff

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// exception is a difference that docs/dns.md lists.
type exception struct {
	// name is what the list calls it.
	name    string
	applies func(d difference) bool
}

// difference is two answers to one question that are not the same.
type difference struct {
	question
	theirs, ours *dns.Msg
	name         string   // in lower case
	kind         uint16   // the type
	zone         string   // of the variant, the longest that the name is in; "": none
	labels       []string // of the name, to the left of the zone
}

func newDifference(q question, theirs, ours *dns.Msg) difference {
	d := difference{question: q, theirs: theirs, ours: ours, name: strings.ToLower(q.msg.Question[0].Name), kind: q.msg.Question[0].Qtype}
	for zone := range strings.FieldsSeq(variants()[q.variant].zones) {
		if zone += "."; dns.IsSubDomain(zone, d.name) && len(zone) > len(d.zone) {
			d.zone = zone
		}
	}
	if d.zone != "" {
		d.labels = dns.SplitDomainName(strings.TrimSuffix(d.name, d.zone))
	}
	return d
}

func (d difference) in(variant string) bool { return variants()[d.variant].name == variant }

// reversed reports whether the name is in a zone of reverse look-ups.
func (d difference) reversed() bool { return strings.HasSuffix(d.zone, ".arpa.") }

// shaped reports whether the labels are these; "*" stands for any one.
func (d difference) shaped(labels string) bool {
	return slices.EqualFunc(d.labels, strings.Fields(labels), func(a, b string) bool { return b == "*" || a == b })
}

// nonTerminal reports whether the name is one that exists without being anything's: an apex, an empty non-terminal or ns.dns.
func (d difference) nonTerminal() bool {
	return d.zone != "" && (len(d.labels) == 0 || d.shaped("svc") || d.shaped("pod") || d.shaped("* svc") || d.shaped("* pod") || d.shaped("ns dns"))
}

// belowReverse reports whether the name is one that CoreDNS answers in any zone, but is below one of reverse look-ups.
func (d difference) belowReverse() bool {
	last := len(d.labels) - 1
	return d.reversed() && last >= 0 && (d.labels[last] == "svc" || d.labels[last] == "pod")
}

// fewer reports whether our records of the answer section are some of theirs, or none.
func (d difference) fewer() bool {
	theirs := map[string]bool{}
	for _, rr := range d.theirs.Answer {
		theirs[rr.String()] = true
	}
	for _, rr := range d.ours.Answer {
		if !theirs[rr.String()] {
			return false
		}
	}
	return len(d.ours.Answer) < len(d.theirs.Answer)
}

// about reports whether the question is about one of the oddities, by its name or the last bytes of its addresses.
func (d difference) about(service, addresses string) bool {
	n := len(d.labels)
	if n >= 3 && d.labels[n-1] == "svc" && d.labels[n-2] == "default" && d.labels[n-3] == service {
		return true
	}
	last, is := strings.CutSuffix(d.name, ".0.245.10.in-addr.arpa.")
	return is && strings.Contains(addresses, last)
}

// linkLocal reports whether they have link-local addresses, and we have none.
func (d difference) linkLocal() bool {
	has := func(m *dns.Msg) bool {
		return slices.ContainsFunc(slices.Concat(m.Answer, m.Extra), func(rr dns.RR) bool {
			aaaa, ok := rr.(*dns.AAAA)
			return ok && aaaa.AAAA.IsLinkLocalUnicast()
		})
	}
	return has(d.theirs) && !has(d.ours)
}

// bare reports whether an answer says only that the name exists.
func bare(m *dns.Msg) bool { return m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 }

// exceptions are the differences that there may be.
func exceptions() []exception {
	return []exception{
		{"`labels` and PTR", func(d difference) bool { return d.in("labels") && d.kind == dns.TypePTR && d.fewer() }},
		{"`namespace_labels` and PTR", func(d difference) bool { return d.in("namespace_labels") && d.kind == dns.TypePTR && d.fewer() }},
		{"TXT and PTR at a name that has others below it (an apex, `svc.<zone>`, `<namespace>.svc.<zone>`, …) or is `ns.dns.<zone>`", func(d difference) bool {
			return d.nonTerminal() && (d.kind == dns.TypeTXT || d.kind == dns.TypePTR) && d.theirs.Rcode == dns.RcodeNameError && bare(d.ours)
		}},
		{"SOA of a name that does not exist", func(d difference) bool {
			return d.kind == dns.TypeSOA && d.zone != "" && bare(d.theirs) && d.ours.Rcode == dns.RcodeNameError
		}},
		{"SRV of a pod's name", func(d difference) bool {
			n := len(d.labels)
			return d.kind == dns.TypeSRV && n >= 3 && d.labels[n-1] == "pod" && len(d.theirs.Answer) > 0 && bare(d.ours)
		}},
		{"NS of an apex in capitals, `ns.dns.<zone>` in capitals", func(d difference) bool {
			return d.name != d.msg.Question[0].Name && (d.kind == dns.TypeNS && len(d.labels) == 0 || d.shaped("ns dns"))
		}},
		{"link-local addresses of `ns.dns.<zone>`", func(d difference) bool {
			return d.linkLocal() && (d.shaped("ns dns") || d.kind == dns.TypeNS && len(d.labels) == 0)
		}},
		{"NS where `namespaces` or `namespace_labels` leave out the server's own Service", func(d difference) bool {
			return (d.in("namespaces") || d.in("namespace_labels")) && (d.shaped("ns dns") || d.kind == dns.TypeNS && len(d.labels) == 0)
		}},
		{"NS and `ns.dns.<zone>` with `noendpoints`", func(d difference) bool {
			return d.in("noendpoints") && (d.shaped("ns dns") || d.kind == dns.TypeNS && len(d.labels) == 0)
		}},
		{"NS of a reverse zone", func(d difference) bool { return d.kind == dns.TypeNS && d.reversed() && len(d.labels) == 0 }},
		{"`svc` and `pod` below a reverse zone", func(d difference) bool {
			return d.belowReverse() && d.ours.Rcode == dns.RcodeNameError
		}},
		{"names of `ip6.arpa` with 33 to 35 labels", func(d difference) bool {
			return d.kind == dns.TypePTR && d.zone == "ip6.arpa." && len(d.labels) > 32 && d.ours.Rcode == dns.RcodeNameError
		}},
		{"slices of type FQDN", func(d difference) bool { return d.about("fqdn", "") }},
		{"`addresses[1]` and further of an endpoint", func(d difference) bool { return d.about("two", "12") }},
		{"pod's name with a dot, with `endpoint_pod_names`", func(d difference) bool { return d.in("ignore") && d.about("dotted", "3") }},
		{"targetRef of another kind than Pod, with `endpoint_pod_names`", func(d difference) bool { return d.in("ignore") && d.about("not-pods", "4") }},
		{"which records of a truncated answer", func(d difference) bool { return d.theirs.Truncated && d.ours.Truncated }},
	}
}
