package source

import (
	"fmt"
	"net/netip"
	"strings"

	netutils "k8s.io/utils/net"

	"github.com/switchyard-net/switchyard/internal/model"
)

// parseAddr returns the address that s stands for, unmapped. Objects written before Kubernetes 1.36 may hold IPv4
// octets with leading zeros, which mean decimal there (KEP-4858); the standard library refuses them.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		a, _ = netip.AddrFromSlice(netutils.ParseIPSloppy(s))
	}
	if !a.IsValid() || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// parsePrefix returns the network that s stands for, with its host bits cleared. White space around it is valid, as
// in the API's own validation of loadBalancerSourceRanges.
func parsePrefix(s string) (netip.Prefix, bool) {
	s = strings.TrimSpace(s)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		_, n, err := netutils.ParseCIDRSloppy(s)
		if err != nil {
			return netip.Prefix{}, false
		}
		a, _ := netip.AddrFromSlice(n.IP)
		ones, _ := n.Mask.Size()
		p = netip.PrefixFrom(a, ones)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), p.IsValid()
}

// parsePort returns the port number n, or false if no port has it.
func parsePort(n int32) (uint16, bool) { return uint16(n), n >= 1 && n <= 65535 }

// parseProtocol returns the protocol that the API spells s; the API's default is TCP.
func parseProtocol(s string) (model.Protocol, bool) {
	switch s {
	case "TCP", "":
		return model.TCP, true
	case "UDP":
		return model.UDP, true
	case "SCTP":
		return model.SCTP, true
	}
	return 0, false
}

// maxProblems bounds what is kept for one object; whoever reads that many knows that the object is broken.
const maxProblems = 10

// problems collects what cannot be honoured in one object.
type problems []model.Problem

// add notes a problem of field, a path as kubectl explain writes it.
func (p *problems) add(field, format string, args ...any) {
	if len(*p) < maxProblems {
		*p = append(*p, model.Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// addrs parses the addresses of a field; each that is none becomes a problem. Empty entries are ignored, as
// kube-proxy does.
func (p *problems) addrs(field string, in []string) []netip.Addr {
	var out []netip.Addr
	for i, s := range in {
		if s == "" {
			continue
		}
		if a, ok := parseAddr(s); ok {
			out = append(out, a)
		} else {
			p.add(fmt.Sprintf("%s[%d]", field, i), "%q is not an IP address and is ignored; correct or remove it", s)
		}
	}
	return out
}

// prefixes parses the networks of a field; each that is none becomes a problem. Blank entries are ignored, as
// kube-proxy does.
func (p *problems) prefixes(field string, in []string) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range in {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if n, ok := parsePrefix(s); ok {
			out = append(out, n)
		} else {
			p.add(fmt.Sprintf("%s[%d]", field, i), "%q is not a network like 192.0.2.0/24 and is ignored; correct or remove it", s)
		}
	}
	return out
}
