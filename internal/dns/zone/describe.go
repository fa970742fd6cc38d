package zone

import "strings"

// Parts are what a name of the cluster zone is made of, as the metadata of CoreDNS's kubernetes plugin shows it. What is not there
// is empty.
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
