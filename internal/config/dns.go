package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// DNS is the block "switchyard.dns" of the configuration file: the cluster DNS on the node.
type DNS struct {
	// Enabled serves the cluster DNS on this node, at the address of its Service.
	Enabled bool `json:"enabled,omitempty"`
	// Corefile is a path; empty: a Corefile like kubeadm's.
	Corefile string `json:"corefile,omitempty"`
	// Zone is the cluster's domain, where there is no Corefile; empty: cluster.local.
	Zone string `json:"zone,omitempty"`
	// Service is the Service of the cluster DNS, as namespace/name; empty: kube-system/kube-dns.
	Service string `json:"service,omitempty"`
	// LocalAddresses are served besides, link-local ones such as 169.254.20.10.
	LocalAddresses []string `json:"localAddresses,omitempty"`
	// NodeAddresses serves on the addresses of the Node object too, so that the node can be an endpoint of the Service.
	NodeAddresses bool `json:"nodeAddresses,omitempty"`
}

// ServiceName returns the namespace and the name of the Service.
func (d DNS) ServiceName() (namespace, name string) {
	namespace, name, _ = strings.Cut(cmp.Or(d.Service, "kube-system/kube-dns"), "/")
	return namespace, name
}

func (d DNS) validate() error {
	var errs []error
	for i, address := range d.LocalAddresses {
		if a, err := netip.ParseAddr(address); err != nil || !a.IsLinkLocalUnicast() && !a.IsPrivate() {
			errs = append(errs, fmt.Errorf("switchyard.dns.localAddresses[%d]: %q: want a link-local or private IP address", i, address))
		}
	}
	if namespace, name := d.ServiceName(); namespace == "" || name == "" || strings.Contains(name, "/") {
		errs = append(errs, fmt.Errorf("switchyard.dns.service: %q: want namespace/name", d.Service))
	}
	return errors.Join(errs...)
}
