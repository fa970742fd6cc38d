package zone

import (
	"cmp"
	"encoding/hex"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Name is a name of a zone with a type of which it has records.
type Name struct {
	Name string // fully qualified
	Type uint16
}

// Names returns all names of a zone with the types to ask for, but the apex and the names of pods: what a zone transfer
// holds. The zone is one of Options.Zones. Names come in the order of their Services, some without records of the type.
func (z *Zones) Names(t *Table, zone string) iter.Seq[Name] {
	return func(yield func(Name) bool) {
		if wire, err := wireName(zone); err == nil && isReverse(wire) {
			z.reverseNames(t, zone, yield)
			return
		}
		if !yield(Name{"dns-version." + zone, typeTXT}) {
			return
		}
		for _, e := range t.sorted() {
			if !z.exposed(t, []byte(e.ref.Namespace)) {
				continue
			}
			for _, n := range z.namesOf(e) {
				if n.Name += "."; n.Name == "." {
					n.Name = ""
				}
				if n.Name += e.ref.Name + "." + e.ref.Namespace + ".svc." + zone; !yield(n) {
					return
				}
			}
		}
	}
}

// sorted returns the Services in order.
func (t *Table) sorted() []*entry {
	var out []*entry
	for _, page := range t.entries.pages {
		for _, e := range page {
			if e != nil && e.service != nil {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.ref.Name, b.ref.Name), cmp.Compare(a.ref.Namespace, b.ref.Namespace))
	})
	return out
}

// namesOf returns the names of a Service up to and without its own, "" for that alone.
func (z *Zones) namesOf(e *entry) []Name {
	if e.service.Type == model.ExternalName {
		return []Name{{"", typeCNAME}}
	}
	out := []Name{{"", typeA}, {"", typeAAAA}, {"", typeSRV}}
	add := func(n Name) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	port := func(name string, p model.Protocol) {
		if name != "" {
			add(Name{"_" + strings.ToLower(name) + "._" + strings.ToLower(p.String()), typeSRV})
		}
	}
	if !e.service.Headless {
		for _, p := range e.service.Ports {
			port(p.Name, p.Protocol)
		}
		return out
	}
	for _, s := range e.slices {
		for _, p := range s.Ports {
			port(p.Name, p.Protocol)
		}
	}
	last := ""
	for _, p := range e.ordered(z.options.EndpointPodNames) {
		ep, _ := e.at(p)
		if name := string(appendEndpointName(nil, ep, z.options.EndpointPodNames)); name != last {
			out = append(out, Name{name, typeA}, Name{name, typeAAAA})
			last = name
		}
	}
	return out
}

// reverseNames yields the names of all addresses; those outside of the zone among them have no records in it.
func (z *Zones) reverseNames(t *Table, zone string, yield func(Name) bool) {
	var addrs []netip.Addr
	for _, e := range t.sorted() {
		addrs = e.addrs(addrs)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, a := range slices.Compact(addrs) {
		name := ReverseName(a)
		if strings.HasSuffix(name, "."+zone) && !yield(Name{name, typePTR}) {
			return
		}
	}
}

// ReverseName returns the name under which the name of an address is looked up, in in-addr.arpa or ip6.arpa.
func ReverseName(a netip.Addr) string {
	var b strings.Builder
	if a.Is4() {
		octets := a.As4()
		for _, o := range slices.Backward(octets[:]) {
			b.WriteString(strconv.Itoa(int(o)) + ".")
		}
		return b.String() + "in-addr.arpa."
	}
	bytes := a.As16()
	digits := hex.EncodeToString(bytes[:])
	for i := len(digits) - 1; i >= 0; i-- {
		b.WriteString(digits[i:i+1] + ".")
	}
	return b.String() + "ip6.arpa."
}
