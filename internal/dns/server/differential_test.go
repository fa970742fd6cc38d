package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// questions returns n questions of all sorts, and mostly of those that the fast path answers.
func questions(n int) []*dns.Msg {
	random := rand.New(rand.NewPCG(7, 7))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	var all []*dns.Msg
	for range n {
		service := pick("web", "web", "db", "many", "empty", "outside", "none")
		name := service + "." + pick("default", "default", "default", "kube-system", "nowhere") + ".svc.cluster.local."
		switch random.IntN(9) {
		case 0:
			name = "_" + pick("http", "dns", "none") + "._" + pick("tcp", "udp", "sctp") + "." + name
		case 1:
			name = fmt.Sprintf("%s-%d.%s", service, random.IntN(5), name)
		case 2:
			name = fmt.Sprintf("%d.%d.%s.%s.in-addr.arpa.", random.IntN(4), random.IntN(4), pick("96", "244"), pick("10", "9"))
		case 3:
			name = pick("10-244-1-2.default.pod.", "1-2-3.default.pod.", "svc.", "default.svc.", "pod.", "", "dns-version.", "ns.dns.", "a.b.c.d.e.", "x.") + "cluster.local."
		case 4:
			name = pick("any.", "any.any.", "_http.", "_.", "*.") + name
		}
		if random.IntN(3) == 0 {
			name = strings.Map(func(r rune) rune {
				if random.IntN(2) == 0 {
					return []rune(strings.ToUpper(string(r)))[0]
				}
				return r
			}, name)
		}
		types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypePTR, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeSOA, dns.TypeNS, dns.TypeHTTPS, dns.TypeANY, dns.TypeDS, 65280}
		m := new(dns.Msg)
		m.SetQuestion(name, types[random.IntN(len(types))])
		m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = random.IntN(4) > 0, random.IntN(8) == 0, random.IntN(8) == 0
		if random.IntN(2) == 0 {
			m.SetEdns0([]uint16{0, 512, 700, 1232, 1400, 4096, 65535}[random.IntN(7)], random.IntN(3) == 0)
		}
		all = append(all, m)
	}
	return all
}

// comparableAnswer returns what of an answer must be the same on both paths: everything but the order of records. Of the records of
// a truncated answer, it is how many there are.
func comparableAnswer(m *dns.Msg) map[string][]string {
	out := map[string][]string{"header": {fmt.Sprintf("%+v", m.MsgHdr)}, "question": {m.Question[0].String()}}
	for section, records := range map[string][]dns.RR{"answer": m.Answer, "authority": m.Ns, "additional": m.Extra} {
		for _, rr := range records {
			text := rr.String()
			if section == "authority" { // the zone, as it was asked for or as the Corefile spells it
				text = strings.ToLower(text)
			}
			if m.Truncated {
				text = dns.TypeToString[rr.Header().Rrtype]
			}
			out[section] = append(out[section], text)
		}
		slices.Sort(out[section])
	}
	return out
}

// TestBothPathsAgree asks two servers over one table, of which one has no fast path. CoreDNS's cache keeps nothing of the
// reverse zones either, as the fast path's answers do not grow old.
func TestBothPathsAgree(t *testing.T) {
	up, live := startUpstream(t), cluster(t)
	corefile := strings.NewReplacer("success cluster.local", "success cluster.local arpa", "denial cluster.local", "denial cluster.local arpa").Replace(kubeadm(up.addr))
	for name, change := range map[string]func(string) string{
		"kubeadm": func(s string) string { return s },
		"bufsize": func(s string) string { return strings.Replace(s, "errors", "errors\n    bufsize 700", 1) },
		"bare": func(s string) string {
			return strings.NewReplacer("loadbalance", "", "pods insecure", "", "fallthrough in-addr.arpa ip6.arpa", "noendpoints").Replace(s)
		},
		"autopath": func(s string) string { return strings.Replace(s, "errors", "errors\n    autopath @kubernetes", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			fast := start(t, live, change(corefile), nil)
			slow := start(t, live, change(corefile), func(c *Config) { c.NoFastPath = true })
			fast.fast(t)
			if s := fast.Statuses(); len(s) != 1 || s[0].Slow != "" {
				t.Fatalf("status %+v", s)
			}
			to := map[*running]string{fast: fast.address(t, "udp"), slow: slow.address(t, "udp")}
			client := &dns.Client{Timeout: patience, UDPSize: dns.MaxMsgSize}
			for _, m := range questions(3000) {
				var got [2]*dns.Msg
				for i, r := range []*running{fast, slow} {
					reply, _, err := client.Exchange(m.Copy(), to[r])
					if err != nil {
						t.Fatalf("%s: %v", m.Question[0].String(), err)
					}
					got[i] = reply
				}
				if diff := cmp.Diff(comparableAnswer(got[1]), comparableAnswer(got[0])); diff != "" {
					t.Errorf("%s %s: CoreDNS - fast path +\n%s", m.Question[0].String(), m.IsEdns0(), diff)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}
