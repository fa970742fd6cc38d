package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// PodMode says for which addresses there are pod records.
type PodMode uint8

// The pod modes.
const (
	PodsDisabled PodMode = iota // none: NXDOMAIN
	PodsInsecure                // every address, whether there is such a pod or not
	PodsVerified                // the addresses of existing pods
)

// Options are what a server block says, after the plugin kubernetes of CoreDNS 1.15.
type Options struct {
	// Zones are fully qualified names in lower case, forward and reverse zones; at least one is a forward zone.
	Zones []string
	// TTL is that of all records, in seconds.
	TTL  uint32
	Pods PodMode
	// PodAt returns the pod that has an address; it must be set for PodsVerified. What it does not know does not exist.
	PodAt func(netip.Addr) (model.Ref, bool)
	// EndpointPodNames names an endpoint without a hostname after its pod.
	EndpointPodNames bool
	// NoEndpoints leaves out all records of endpoints.
	NoEndpoints bool
	// IgnoreEmpty denies the name of a Service with cluster IPs but without ready endpoints.
	IgnoreEmpty bool
	// Zonal answers <zone>.pin._zone.<service>… and <zone>.prefer._zone.<service>… of headless Services.
	Zonal bool
	// Namespaces restricts what is exposed; empty: all.
	Namespaces []string
	// NamespaceLabels and Labels select what is exposed by the labels of Namespaces and Services; nil: all.
	NamespaceLabels, Labels func(model.Labels) bool
	// Fallthrough are the zones in which a name that does not exist is left to the next plugin.
	Fallthrough []string
	// Addrs returns the addresses at which this server is reached, for the records of type NS; nil: none.
	Addrs func() []netip.Addr
}

// Zones answers for the zones of one server block. It is immutable and safe for concurrent use.
type Zones struct {
	options    Options
	live       *Live
	origins    []origin
	primary    []byte // the first forward zone, in wire format
	through    []string
	namespaces map[string]struct{}
}

// origin is a zone.
type origin struct {
	wire    string
	reverse bool
}

// errNoForwardZone is as in CoreDNS.
var errNoForwardZone = errors.New("non-reverse zone name must be used")

// New returns the answers that o asks for, from the present table of live. The error says which option is wrong.
func New(o Options, live *Live) (*Zones, error) {
	z := &Zones{options: o, live: live, namespaces: map[string]struct{}{}}
	for _, name := range o.Zones {
		wire, err := wireName(strings.ToLower(name))
		if err != nil {
			return nil, fmt.Errorf("zone: %w", err)
		}
		z.origins = append(z.origins, origin{wire, isReverse(wire)})
		if z.primary == nil && !isReverse(wire) {
			z.primary = []byte(wire)
		}
	}
	for _, name := range o.Fallthrough {
		wire, err := wireName(strings.ToLower(name))
		if err != nil {
			return nil, fmt.Errorf("fallthrough: %w", err)
		}
		z.through = append(z.through, wire)
	}
	for _, name := range o.Namespaces {
		z.namespaces[name] = struct{}{}
	}
	switch {
	case z.primary == nil:
		return nil, errNoForwardZone
	case o.Zonal && o.NoEndpoints:
		return nil, errors.New("zonal requires the endpoint cache; remove noendpoints")
	case len(o.Namespaces) > 0 && o.NamespaceLabels != nil:
		return nil, errors.New("namespaces and namespace_labels cannot both be set")
	case o.Pods == PodsVerified && o.PodAt == nil:
		return nil, errors.New("pods verified: nothing is known of pods here; use insecure or disabled")
	}
	return z, nil
}

// Live returns where the answers come from.
func (z *Zones) Live() *Live { return z.live }
