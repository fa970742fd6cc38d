package balance

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Resolver is a Lookup by DNS (RFC 1035), which tells how long its answers hold. It reads resolv.conf for each question, as that may
// change. What DNS does not know is asked of the system's resolver, which also reads the hosts file.
type Resolver struct {
	// Config is the path of resolv.conf; "": the system's.
	Config string
	// System asks the system's resolver; nil: that of package net.
	System Lookup
}

// Lookup finds the addresses of a host name. An address is its own, and names of this host are not asked of others (RFC 6761).
func (r Resolver) Lookup(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{addr}, maxTTL, nil
	}
	path, system := r.Config, r.System
	if path == "" {
		path = "/etc/resolv.conf"
	}
	if system == nil {
		system = bySystem
	}
	config, err := dns.ClientConfigFromFile(path)
	plain := strings.TrimSuffix(strings.ToLower(name), ".")
	if err != nil || len(config.Servers) == 0 || plain == "localhost" || strings.HasSuffix(plain, ".localhost") {
		return system(ctx, name)
	}
	for _, candidate := range config.NameList(name) {
		list, ttl, err := ask(ctx, config, candidate)
		if err == nil && len(list) > 0 {
			return list, ttl, nil
		}
	}
	return system(ctx, name)
}

// bySystem asks the resolver of the system, which does not tell how long an answer holds.
func bySystem(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	return list, resolverTTL, err
}

// ask asks for the addresses of one name, of both families at the same time.
func ask(ctx context.Context, config *dns.ClientConfig, name string) (list []netip.Addr, ttl time.Duration, err error) {
	type answer struct {
		message *dns.Msg
		err     error
	}
	answers := make(chan answer, 2)
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		go func() {
			m, err := exchange(ctx, config, name, kind)
			answers <- answer{m, err}
		}()
	}
	ttl = maxTTL
	for range 2 {
		a := <-answers
		if a.err != nil {
			err = a.err
			continue
		}
		for _, record := range a.message.Answer {
			ttl = min(ttl, time.Duration(record.Header().Ttl)*time.Second)
			if addr, ok := addressOf(record); ok {
				list = append(list, addr)
			}
		}
	}
	if len(list) > 0 {
		err = nil // one family is enough
	}
	return list, ttl, err
}

func addressOf(record dns.RR) (netip.Addr, bool) {
	switch r := record.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(r.A.To4())
		return addr, ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(r.AAAA)
		return addr, ok
	default:
		return netip.Addr{}, false
	}
}

// exchange asks the servers one after another, over UDP and, for an answer that was cut short, over TCP.
func exchange(ctx context.Context, config *dns.ClientConfig, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, false)
	udp := &dns.Client{Net: "udp", Timeout: time.Second, UDPSize: 1232}
	tcp := &dns.Client{Net: "tcp", Timeout: 2 * time.Second}
	var last error
	for _, server := range config.Servers {
		at := net.JoinHostPort(server, config.Port)
		answer, _, err := udp.ExchangeContext(ctx, question, at)
		if err == nil && answer.Truncated {
			answer, _, err = tcp.ExchangeContext(ctx, question, at)
		}
		switch {
		case err != nil:
			last = fmt.Errorf("ask %s for %s: %w", server, name, err)
		case answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError:
			return answer, nil
		default:
			last = fmt.Errorf("ask %s for %s: %s", server, name, dns.RcodeToString[answer.Rcode])
		}
	}
	return nil, last
}
