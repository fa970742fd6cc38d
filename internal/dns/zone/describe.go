package zone

import (
	"fmt"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Parts are what a name of the cluster zone is made of, as the metadata of CoreDNS's kubernetes plugin shows it. What is
// not there is empty.
type Parts struct {
	Kind               string // svc or pod
	Namespace, Service string
	Endpoint           string
	Port, Protocol     string
	Topology           string // the zone of a zonal name
	// Wrong is true for a name of no form that there is.
	Wrong bool
}

// Describe takes a name apart, given in wire format and lower case; false: it is in none of the zones.
func (z *Zones) Describe(name []byte) (Parts, bool) {
	var r request
	if !z.parse(&r, name) {
		return Parts{}, false
	}
	p := Parts{
		Namespace: string(r.namespace), Service: string(r.service), Endpoint: string(r.endpoint),
		Port: string(r.port), Protocol: string(r.protocol), Wrong: r.shape == shapeWrong,
	}
	switch {
	case r.pod:
		p.Kind = labelPod
	case r.shape == shapeService, r.shape == shapeNamespace, r.namespace != nil:
		p.Kind = labelSvc
	}
	if r.topology != nil {
		var topology []string
		for rest := r.topology; len(rest) > 0; rest = rest[1+rest[0]:] {
			topology = append(topology, string(rest[1:1+rest[0]]))
		}
		p.Topology = strings.Join(topology, ".")
	}
	return p, true
}

// Explain says in words where the answer for a name comes from, or why there is none, for a person who asks why. The
// name is in wire format and lower case; false: it is in none of the zones.
func (z *Zones) Explain(t *Table, name []byte) (string, bool) {
	var r request
	if !z.parse(&r, name) {
		return "", false
	}
	if !t.synced {
		return "the API server was not read completely yet", true
	}
	if addr, ok := r.reverseAddr(); ok {
		return z.explainReverse(t, addr), true
	}
	f := z.find(t, &r)
	switch f.kind {
	case kindNone:
		return z.explainMissing(t, &r), true
	case kindEmpty:
		return "the name exists, and has no records of its own", true
	case kindVersion:
		return "the version of the specification", true
	case kindServer:
		return "the addresses of this server", true
	case kindAddr:
		return "the address in the name itself, of a pod", true
	case kindExternal:
		return fmt.Sprintf("ExternalName Service %s: an alias for %s", f.entry.ref, f.entry.service.ExternalName), true
	case kindCluster:
		return fmt.Sprintf("cluster IPs of Service %s", f.entry.ref), true
	}
	n := 0
	for _, p := range f.order {
		if _, _, ok := f.member(p); ok {
			n++
		}
	}
	return fmt.Sprintf("%d of %d ready endpoints of Service %s", n, f.entry.ready(), f.entry.ref), true
}

// explainMissing says why a name does not exist.
func (z *Zones) explainMissing(t *Table, r *request) string {
	switch {
	case r.namespace == nil || r.shape == shapeWrong:
		return "no name has this form"
	case !z.exposed(t, r.namespace):
		return fmt.Sprintf("there is no Namespace %s, or the Corefile does not expose it", r.namespace)
	case r.pod:
		return "the Corefile has no records of pods (property pods), or none has this address"
	}
	e := t.entry(r.key)
	ref := model.Ref{Namespace: string(r.namespace), Name: string(r.service)}
	switch {
	case e == nil || e.service == nil:
		return fmt.Sprintf("there is no Service %s", ref)
	case z.options.Labels != nil && !z.options.Labels(e.service.Labels):
		return fmt.Sprintf("the Corefile does not expose Service %s (property labels)", ref)
	case r.endpoint != nil:
		return fmt.Sprintf("no ready endpoint of Service %s has the name %s; it has %d ready endpoints", ref, r.endpoint, e.ready())
	case len(r.port) > 0 || len(r.protocol) > 0:
		return fmt.Sprintf("Service %s has no port %s of protocol %s", ref, r.port, r.protocol)
	case e.ready() == 0:
		return fmt.Sprintf("Service %s has no ready endpoints", ref)
	}
	return fmt.Sprintf("Service %s has no names of this form", ref)
}
