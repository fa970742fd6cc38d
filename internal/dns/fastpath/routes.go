package fastpath

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

// Route says what may be answered without CoreDNS for the names of one zone of a server block.
type Route struct {
	// Zone is that of the server block, fully qualified and in lower case: the block with the longest zone that a name is in
	// is the name's.
	Zone string
	// Answers answers for the cluster zone; nil: CoreDNS sees every question of the block.
	Answers *zone.Zones
	// Rotate is true if each answer begins its addresses at another one (plugin loadbalance).
	Rotate bool
	// KeepDenials is true if a name that does not exist is not the last word (plugin autopath).
	KeepDenials bool
	// Clamped is true if a cache confines the times to live of answers. The only one that is not the zone's own is that of
	// the TXT record dns-version.
	Clamped bool
	// BufferSize is the most that is believed of the size in a client's OPT record (plugin bufsize); 0: all.
	BufferSize uint16
	// Cache holds answers that the block caches; nil: none may be.
	Cache *Cache
	// Counts are where answers are counted; nil: the block has no metrics.
	Counts *Counts
}

// Routes are the routes of one listener. They are immutable and safe for concurrent use.
type Routes struct {
	routes []route // longest zone first
}

type route struct {
	Route
	wire []byte // Zone in wire format
}

// NewRoutes returns routes; two of one zone are an error.
func NewRoutes(all []Route) (*Routes, error) {
	r := &Routes{}
	var errs []error
	for _, one := range all {
		wire, err := wireName(one.Zone)
		errs = append(errs, err)
		r.routes = append(r.routes, route{Route: one, wire: wire})
	}
	slices.SortStableFunc(r.routes, func(a, b route) int { return len(b.wire) - len(a.wire) })
	for i := 1; i < len(r.routes); i++ {
		if bytes.Equal(r.routes[i-1].wire, r.routes[i].wire) {
			errs = append(errs, fmt.Errorf("two routes for zone %s", r.routes[i].Zone))
		}
	}
	return r, errors.Join(errs...)
}

// wireName returns a name in wire format.
func wireName(name string) ([]byte, error) {
	buffer := make([]byte, maxName)
	n, err := dns.PackDomainName(dns.CanonicalName(name), buffer, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", name, err)
	}
	return buffer[:n], nil
}

// find returns the route of a name in wire format and lower case; nil: CoreDNS refuses it.
func (r *Routes) find(name []byte) *route {
	for i := range r.routes {
		if within(name, r.routes[i].wire) {
			return &r.routes[i]
		}
	}
	return nil
}

// within reports whether a name is in a zone or its apex; both in wire format and lower case.
func within(name, zone []byte) bool {
	if !bytes.HasSuffix(name, zone) {
		return false
	}
	// The suffix must begin at a label: a label may hold any bytes.
	at := 0
	for apex := len(name) - len(zone); at < apex; {
		at += int(name[at]) + 1
	}
	return at == len(name)-len(zone)
}
