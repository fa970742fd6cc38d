package zone

import (
	"bytes"
)

// shape is which of the forms of names a name has.
type shape uint8

const (
	shapeWrong       shape = iota // of no form: there is no such name
	shapeApex                     // the zone itself
	shapeNonTerminal              // svc or pod
	shapeNamespace                // <namespace>.svc or <namespace>.pod
	shapePod                      // <address>.<namespace>.pod
	shapeService                  // all below
	shapeVersion                  // dns-version
	shapeServer                   // ns.dns, which the SOA names
)

// request is a name, taken apart after CoreDNS's parseRequest. Left of the service may be
//
//	<endpoint>
//	_<port>._<protocol>
//	<topology zone>.pin._zone or <topology zone>.prefer._zone
//
// What is not there is empty; an empty port or protocol means any.
type request struct {
	labels
	origin *origin
	zoneAt int // where the zone begins in the name
	shape  shape
	// key is the labels of service and namespace in wire format.
	key                      []byte
	pod                      bool // below pod, not svc
	namespace, service       []byte
	endpoint, port, protocol []byte
	topology                 []byte // in wire format; labels of the zone's value
	prefer                   bool
}

const (
	labelSvc    = "svc"
	labelPod    = "pod"
	labelZone   = "_zone"
	labelPin    = "pin"
	labelPrefer = "prefer"
	wireVersion = "\x0bdns-version"
	wireServer  = "\x02ns\x03dns"
)

// parse takes name apart; false: it is in none of the zones.
func (z *Zones) parse(r *request, name []byte) bool {
	if !r.split(name) {
		return false
	}
	left := -1
	for i := range z.origins {
		o := &z.origins[i]
		if n, ok := r.within(o.wire); ok && (left < 0 || n < left) {
			r.origin, left = o, n
		}
	}
	if left < 0 {
		return false
	}
	r.zoneAt = len(name) - len(r.origin.wire)
	r.shape = r.form(left)
	if r.shape == shapeService && left > 3 && !r.beyond(left-3, z.options.Zonal) {
		r.shape = shapeWrong
	}
	return true
}

// form returns the shape by the labels left of the zone, and sets what is common to all.
func (r *request) form(left int) shape {
	if left == 0 {
		return shapeApex
	}
	base := r.name[:r.zoneAt]
	switch {
	case string(base) == wireVersion:
		return shapeVersion
	case string(base) == wireServer:
		return shapeServer
	case r.origin.reverse:
		return shapeWrong
	}
	r.pod = string(r.at(left-1)) == labelPod
	if !r.pod && string(r.at(left-1)) != labelSvc {
		return shapeWrong
	}
	if left == 1 {
		return shapeNonTerminal
	}
	r.namespace = r.at(left - 2)
	if left == 2 {
		return shapeNamespace
	}
	r.service = r.at(left - 3)
	r.key = r.name[r.start[left-3]:r.start[left-1]]
	if r.pod {
		if left > 5 {
			return shapeWrong
		}
		return shapePod
	}
	return shapeService
}

// beyond takes apart the labels left of the service; false: they are of no form.
func (r *request) beyond(left int, zonal bool) bool {
	last := left - 1
	switch {
	case left == 1:
		r.endpoint = r.at(0)
		return true
	case left == 2:
		r.protocol, r.port = withoutUnderscore(r.at(1)), withoutUnderscore(r.at(0))
		return true
	case !zonal || string(r.at(last)) != labelZone:
		return false
	}
	r.prefer = string(r.at(last-1)) == labelPrefer
	r.topology = r.name[:r.start[last-1]]
	return r.prefer || string(r.at(last-1)) == labelPin
}

func withoutUnderscore(label []byte) []byte { return bytes.TrimPrefix(label, []byte("_")) }

// foldEqual reports whether s, of any case, is b, in lower case. Only ASCII letters have cases (RFC 4343).
func foldEqual(s string, b []byte) bool {
	if len(s) != len(b) {
		return false
	}
	for i := range b {
		if lower(s[i]) != b[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isTopology reports whether a zone's name, which may contain dots, is the labels in wire format.
func isTopology(zone string, wire []byte) bool {
	if len(zone)+1 != len(wire) {
		return false
	}
	next := 0
	for i := range wire {
		switch {
		case i == next:
			next += 1 + int(wire[i])
			if i > 0 && zone[i-1] != '.' {
				return false
			}
		case lower(zone[i-1]) != wire[i]:
			return false
		}
	}
	return true
}
