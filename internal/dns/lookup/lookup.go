// Package lookup walks through the search list of a resolver as a pod's libc does, over the cluster's name table, and says which
// object each answer comes from.
package lookup

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Resolver is what a resolv.conf says (resolv.conf(5)).
type Resolver struct {
	Search []string
	// Dots is the option ndots: a name with fewer is tried with the search list first.
	Dots int
}

// Names returns the names that are asked for, in order, fully qualified.
func (r Resolver) Names(name string) []string {
	if dns.IsFqdn(name) {
		return []string{name}
	}
	var searched []string
	for _, domain := range r.Search {
		searched = append(searched, dns.Fqdn(name+"."+strings.TrimSuffix(domain, ".")))
	}
	if strings.Count(name, ".") >= r.Dots {
		return append([]string{dns.Fqdn(name)}, searched...)
	}
	return append(searched, dns.Fqdn(name))
}

// Step is one question of a walk.
type Step struct {
	Name string
	// Ours is false for a name outside of the cluster's zones, which the rest of the Corefile answers; Rcode and Records are then
	// empty.
	Ours    bool
	Rcode   string
	Records []dns.RR
	// Object says which object answered, or which one is missing.
	Object string
}

// Found reports whether the walk ends here.
func (s Step) Found() bool { return len(s.Records) > 0 }

// Walk asks for each name until one has records, and returns the questions asked.
func Walk(r Resolver, name string, qtype uint16, zones *zone.Zones, snap *model.Snapshot) ([]Step, error) {
	var steps []Step
	for _, full := range r.Names(name) {
		step, err := ask(full, qtype, zones, snap)
		if err != nil {
			return steps, err
		}
		if steps = append(steps, step); step.Found() {
			break
		}
	}
	return steps, nil
}

// headerLen is the length of a message's header (RFC 1035, section 4.1.1).
const headerLen = 12

func ask(name string, qtype uint16, zones *zone.Zones, snap *model.Snapshot) (Step, error) {
	step := Step{Name: name}
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	packet, err := query.Pack()
	if err != nil {
		return step, fmt.Errorf("%q is no name: %w", name, err)
	}
	wire := []byte(strings.ToLower(string(packet[headerLen : len(packet)-4])))
	packet, reply := zones.Answer(packet, zone.Question{Name: wire, Type: qtype, Size: dns.MaxMsgSize})
	parts, ours := zones.Describe(wire)
	if !ours {
		step.Object = "outside of the cluster's zones: the rest of the Corefile answers"
		return step, nil
	}
	step.Ours = true
	step.Object = object(parts, qtype, snap)
	switch {
	case reply.Verdict == zone.Answered:
		if err := read(&step, packet, reply); err != nil {
			return step, err
		}
		step.pointsTo(zones, snap)
	case reply.Cause == zone.External:
		step.Rcode = "NOERROR"
		step.Records = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: dns.Fqdn(reply.Target)}}
	case reply.Cause == zone.Fallthrough:
		step.Object = "no object has this address; the rest of the Corefile answers"
	}
	return step, nil
}

// pointsTo says which object the name stands for that a reverse look-up has found.
func (s *Step) pointsTo(zones *zone.Zones, snap *model.Snapshot) {
	for _, rr := range s.Records {
		if ptr, ok := rr.(*dns.PTR); ok {
			if wire, err := wireName(ptr.Ptr); err == nil {
				parts, _ := zones.Describe(wire)
				s.Object = object(parts, dns.TypeANY, snap)
			}
		}
	}
}

// wireName returns a name in wire format and lower case.
func wireName(name string) ([]byte, error) {
	buffer := make([]byte, 255)
	n, err := dns.PackDomainName(dns.CanonicalName(name), buffer, 0, nil, false)
	return buffer[:n], err
}

// read unpacks what the table has appended to a question.
func read(step *Step, packet []byte, reply zone.Reply) error {
	for i, n := range []uint16{reply.Answers, reply.Authorities, reply.Additionals} {
		packet[6+2*i], packet[7+2*i] = byte(n>>8), byte(n)
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return fmt.Errorf("bug: the table's answer for %s does not parse: %w", step.Name, err)
	}
	step.Rcode, step.Records = dns.RcodeToString[int(reply.Rcode)], m.Answer
	return nil
}

// object says which object a name stands for, as far as there is one, for a type of question.
func object(p zone.Parts, qtype uint16, snap *model.Snapshot) string {
	if p.Wrong {
		return "no name of this form stands for an object"
	}
	if p.Namespace == "" {
		return "the zone itself"
	}
	if _, ok := snap.Namespaces.Get(p.Namespace); !ok {
		return fmt.Sprintf("there is no Namespace %q", p.Namespace)
	}
	if p.Kind == "pod" {
		return "an address spelt as a name, in Namespace " + p.Namespace
	}
	if p.Service == "" {
		return "Namespace " + p.Namespace
	}
	ref := model.Ref{Namespace: p.Namespace, Name: p.Service}
	service, ok := snap.Services.Get(ref)
	if !ok {
		return "there is no Service " + ref.String()
	}
	what := describe(service)
	if p.Endpoint != "" {
		return endpoint(p.Endpoint, qtype, what, snap.View(ref))
	}
	if service.Headless {
		return fmt.Sprintf("%s; %d of its %d endpoints are ready", what, ready(snap.View(ref)), endpoints(snap.View(ref)))
	}
	return what
}

// describe names a Service and what makes its answers.
func describe(s *model.Service) string {
	switch {
	case s.Type == model.ExternalName:
		return fmt.Sprintf("Service %s (ExternalName %s)", s.Ref, s.ExternalName)
	case s.Headless:
		return fmt.Sprintf("Service %s (headless)", s.Ref)
	}
	return fmt.Sprintf("Service %s", s.Ref)
}

// endpoint says where the endpoint of a name is: of those of both families, the one that a type of question is about.
func endpoint(name string, qtype uint16, of string, view model.ServiceView) string {
	found := ""
	for _, slice := range view.Slices {
		for _, e := range slice.Endpoints {
			if !strings.EqualFold(e.Hostname, name) && !strings.EqualFold(dashed(e.Addr.String()), name) {
				continue
			}
			said := fmt.Sprintf("endpoint %s of %s, in EndpointSlice %s", e.Addr, of, slice.Ref)
			if asked := e.Addr.Is4() && qtype == dns.TypeA || e.Addr.Is6() && qtype == dns.TypeAAAA; asked {
				return said
			}
			found = cmp.Or(found, said)
		}
	}
	return cmp.Or(found, fmt.Sprintf("%s has no endpoint %q", of, name))
}

// dashed is the name of an endpoint without a hostname.
func dashed(addr string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(addr) }

func ready(view model.ServiceView) (n int) {
	for _, slice := range view.Slices {
		for _, e := range slice.Endpoints {
			if e.Conditions.Has(model.Ready) {
				n++
			}
		}
	}
	return n
}

func endpoints(view model.ServiceView) (n int) {
	for _, slice := range view.Slices {
		n += len(slice.Endpoints)
	}
	return n
}
