package corednsdiff

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"unicode"

	"github.com/miekg/dns"
)

// question is one question to both servers.
type question struct {
	variant int
	tcp     bool
	msg     *dns.Msg
	cut     int // how many bytes are missing at the end of the packet
}

func (q question) String() string {
	network := "UDP"
	if q.tcp {
		network = "TCP"
	}
	size := "no EDNS"
	if opt := q.msg.IsEdns0(); opt != nil {
		size = fmt.Sprintf("EDNS %d DO %t", opt.UDPSize(), opt.Do())
	}
	one := q.msg.Question[0]
	return fmt.Sprintf("[%s] %s %s %s over %s, %s, %s, %d bytes cut", variants()[q.variant].name, one.Name, dns.Class(one.Qclass),
		dns.Type(one.Qtype), network, size, dns.OpcodeToString[q.msg.Opcode], q.cut)
}

// asking generates questions about the objects of a world.
type asking struct {
	*rand.Rand
	world *known
}

func (a asking) pick(words ...string) string { return words[a.IntN(len(words))] }

// one returns true once in n times.
func (a asking) one(n int) bool { return a.IntN(n) == 0 }

// next returns a question.
func (a asking) next() question {
	q := question{variant: a.IntN(len(variants())), tcp: a.one(12), msg: new(dns.Msg)}
	name, kind := a.name()
	if a.one(12) {
		name = a.mutated(name)
	}
	if a.one(2) {
		name = a.randomCase(name)
	}
	if a.one(3) {
		kind = a.kind()
	}
	q.msg.SetQuestion(dns.Fqdn(name), kind)
	q.msg.RecursionDesired, q.msg.CheckingDisabled, q.msg.AuthenticatedData = !a.one(4), a.one(8), a.one(8)
	if a.one(2) {
		q.msg.SetEdns0([]uint16{0, 300, 512, 700, 1232, 1400, 4096, 65535}[a.IntN(8)], a.one(3))
	}
	if a.one(15) {
		a.unusual(&q)
	}
	return q
}

// unusual makes a question one that few clients ask, or none.
func (a asking) unusual(q *question) {
	m := q.msg
	m.SetEdns0(1232, false)
	switch a.IntN(9) {
	case 0:
		m.Question[0].Qclass = []uint16{dns.ClassCHAOS, dns.ClassHESIOD, dns.ClassNONE, dns.ClassANY, 0, 9}[a.IntN(6)]
	case 1:
		m.Opcode = []int{dns.OpcodeIQuery, dns.OpcodeStatus, dns.OpcodeNotify, dns.OpcodeUpdate, 7, 15}[a.IntN(6)]
	case 2:
		m.Question = append(m.Question, m.Question[0])
	case 3:
		m.IsEdns0().SetVersion(uint8(1 + a.IntN(255)))
	case 4:
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}}
	case 5:
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, a.IntN(300))}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	case 6:
		m.IsEdns0().Hdr.Ttl |= 0x7fff // flags that nothing is known of
	case 7:
		q.cut = 1 + a.IntN(12)
	case 8:
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{1, 2, 3, 4}}}
	}
}

// kind returns any type of question.
func (a asking) kind() uint16 {
	kinds := []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypePTR, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeSOA, dns.TypeNS, dns.TypeHTTPS,
		dns.TypeSVCB, dns.TypeCAA, dns.TypeANY, dns.TypeDS, dns.TypeDNSKEY, dns.TypeHINFO, 65280,
	}
	return kinds[a.IntN(len(kinds))]
}

// name returns a name of any of the shapes that there are, and a type that suits it.
func (a asking) name() (string, uint16) {
	zone := a.pick("cluster.local", "cluster.local", "cluster.local", "cluster.local", "cluster.local", "example.test")
	service := a.service() + ".svc." + zone
	address := []uint16{dns.TypeA, dns.TypeAAAA}[a.IntN(2)]
	switch a.IntN(19) {
	case 0, 1, 2:
		return service, address
	case 3:
		return service, dns.TypeSRV
	case 4, 5:
		return a.endpoint() + "." + service, address
	case 6, 7:
		return "_" + a.pick("http", "dns", "metrics", "none", "") + "._" + a.pick("tcp", "udp", "sctp", "icmp", "") + "." + service, dns.TypeSRV
	case 8:
		return strings.NewReplacer(".", "-", ":", "-").Replace(a.address().String()) + "." + a.namespace() + ".pod." + zone,
			[]uint16{address, address, dns.TypeSRV}[a.IntN(3)]
	case 9:
		return a.pick("za", "zone.b", "zx", "a.b.c") + "." + a.pick("pin", "prefer", "pin", "prefer", "any") + "." + a.pick("_zone", "_zone", "_zone", "_z") + "." + service, address
	case 10, 11:
		reverse, err := dns.ReverseAddr(a.address().String())
		if err != nil {
			panic(err) // an address has a reverse name
		}
		return reverse, dns.TypePTR
	case 12:
		return a.namespace() + a.pick(".svc.", ".pod.") + zone, a.kind()
	case 13:
		return a.pick("", "svc.", "pod.", "dns-version.", "ns.dns.", "dns.", "x.", "kubernetes.", "_tcp.svc.", "default.") + zone, a.kind()
	case 14:
		return a.pick("in-addr.arpa", "ip6.arpa", "10.in-addr.arpa", "96.10.in-addr.arpa", "1.2.3.4.5.10.in-addr.arpa", "x.ip6.arpa", "svc.in-addr.arpa"), a.kind()
	case 15:
		return a.pick("dotted", "not-pods", "two", "fqdn") + ".default.svc." + zone, dns.TypeSRV
	case 16:
		return strings.Repeat("1.", 30+a.IntN(7)) + "ip6.arpa", dns.TypePTR
	case 17:
		return a.pick("", "", "ns.dns.") + a.pick(zone, "in-addr.arpa", "ip6.arpa"), []uint16{dns.TypeNS, dns.TypeA, dns.TypeAAAA}[a.IntN(3)]
	}
	return a.pick("www.example.com", "a.test", "nothing.org", "com", ".", "local", "default.svc", "cluster.locale"), a.kind()
}

// service returns a name of a Service and namespace, which often is there.
func (a asking) service() string {
	if refs := a.world.refs; len(refs) > 0 && !a.one(6) {
		return refs[a.IntN(len(refs))]
	}
	return a.pick("none", "kubernetes", "web", "*", "any", "_http", "xn--a") + "." + a.namespace()
}

func (a asking) namespace() string {
	return a.pick("default", "alpha", "beta", "gamma", "delta", "nowhere", "kube-system", "*", "_tcp")
}

// endpoint returns a label of an endpoint, which often is there.
func (a asking) endpoint() string {
	switch a.IntN(4) {
	case 0:
		return a.pick(hostnames()...)
	case 1:
		return podName(a.IntN(podNames))
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.address().String())
}

// address returns an address, which often is somebody's.
func (a asking) address() netip.Addr {
	if all := a.world.addresses; len(all) > 0 && !a.one(5) {
		return all[a.IntN(len(all))]
	}
	return netip.MustParseAddr(a.pick("10.96.0.1", "10.96.0.77", "192.0.2.1", "fd00::1", "1.2.3.4", "::1", "2001:db8:1::", "10.0.0.0"))
}

// mutated returns a name with one thing changed.
func (a asking) mutated(name string) string {
	labels := dns.SplitDomainName(name)
	if len(labels) == 0 {
		return name
	}
	i := a.IntN(len(labels))
	switch a.IntN(7) {
	case 0:
		labels = append(labels[:i], labels[i+1:]...)
	case 1:
		labels[i] += a.pick("x", "-", "_", `\.`, `\000`, `\255`, `\032`, "é")
	case 2:
		labels[i] = a.pick("x", "*", "_", "_tcp", "svc", "pod", strings.Repeat("l", 63), `a\.b`)
	case 3:
		labels[0] = a.pick("x.y.", "a.", "_http.", "1.", "_.") + labels[0]
	case 4:
		labels[i] = labels[len(labels)-1]
	case 5:
		labels[0] = strings.Repeat("long.", a.IntN(30)) + labels[0]
	case 6:
		labels[i] = strings.TrimLeft(labels[i], "_")
	}
	out := dns.Fqdn(strings.Join(labels, "."))
	if _, ok := dns.IsDomainName(out); !ok || strings.Contains(out, "..") || strings.HasPrefix(out, ".") {
		return name
	}
	return out
}

func (a asking) randomCase(name string) string {
	return strings.Map(func(r rune) rune {
		if a.one(3) {
			return unicode.ToUpper(r)
		}
		return r
	}, name)
}
