package plugin

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

const transferCorefile = `cluster.local:0 in-addr.arpa:0 ip6.arpa:0 {
    bind 127.0.0.1
    transfer {
        to *
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        namespaces default kube-system
    }
}
`

// transferred returns the records of a zone transfer.
func (s *server) transferred(t *testing.T, m *dns.Msg) []dns.RR {
	t.Helper()
	tr := dns.Transfer{DialTimeout: patience, ReadTimeout: patience}
	envelopes, err := tr.In(m, s.tcp)
	if err != nil {
		t.Fatal(err)
	}
	var out []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		out = append(out, e.RR...)
	}
	return out
}

// TestTransfer asks for each zone as a whole and compares it with the answers to its names one by one.
func TestTransfer(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	s := start(t, testDeps(c.synced(t, zone.Config{})), transferCorefile)
	for origin, least := range map[string]int{"cluster.local.": 60, "in-addr.arpa.": 15, "ip6.arpa.": 4} {
		m := new(dns.Msg)
		m.SetAxfr(origin)
		records := s.transferred(t, m)
		if len(records) < least {
			t.Fatalf("%s: only %d records", origin, len(records))
		}
		for _, rr := range []dns.RR{records[0], records[len(records)-1]} {
			if rr.Header().Rrtype != dns.TypeSOA {
				t.Errorf("%s: begins or ends with %s", origin, rr)
			}
		}
		sets := map[dns.Question][]string{}
		for _, rr := range records[1 : len(records)-1] {
			h := rr.Header()
			if strings.Contains(h.Name, "shop") || !dns.IsSubDomain(origin, h.Name) && h.Rrtype != dns.TypeA {
				t.Errorf("%s: what is %s doing here?", origin, rr)
			}
			q := dns.Question{Name: h.Name, Qtype: h.Rrtype}
			if text := rr.String(); !slices.Contains(sets[q], text) { // glue is there twice
				sets[q] = append(sets[q], text)
			}
		}
		for q, got := range sets {
			var want []string
			for _, rr := range s.ask(t, "tcp", q.Name, q.Qtype, nil).Answer {
				want = append(want, rr.String())
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s (-asked +transferred):\n%s", q.Name, dns.TypeToString[q.Qtype], diff)
			}
		}
	}
}

// TestIncrementalTransfer has no history: who is up to date learns that, others get everything.
func TestIncrementalTransfer(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	s := start(t, testDeps(c.synced(t, zone.Config{})), transferCorefile)
	serial := soaOf(t, s).Serial
	for offset, whole := range map[int]bool{0: false, 1: false, -1: true} {
		m := new(dns.Msg)
		m.SetIxfr("cluster.local.", serial+uint32(offset), "ns.dns.cluster.local.", "hostmaster.cluster.local.")
		var got int
		if whole {
			got = len(s.transferred(t, m))
		} else {
			answer := s.ask(t, "tcp", "cluster.local.", dns.TypeIXFR, func(q *dns.Msg) { *q = *m })
			got = len(answer.Answer)
		}
		if whole != (got > 60) || !whole && got != 1 {
			t.Errorf("IXFR from %+d: %d records", offset, got)
		}
	}
}

// TestNoTransfer is refused over UDP, of a part of a zone, and without the plugin transfer.
func TestNoTransfer(t *testing.T) {
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	live := c.synced(t, zone.Config{})
	with, without := start(t, testDeps(live), transferCorefile), start(t, testDeps(live), plainCorefile)
	for i, m := range []*dns.Msg{
		with.ask(t, "udp", "cluster.local.", dns.TypeAXFR, nil),
		with.ask(t, "tcp", "svc.cluster.local.", dns.TypeAXFR, nil),
		without.ask(t, "tcp", "cluster.local.", dns.TypeAXFR, nil),
	} {
		if m.Rcode != dns.RcodeRefused || len(m.Answer) > 0 {
			t.Errorf("case %d:\n%s", i, show(m))
		}
	}
	if _, err := (&Handler{options: zone.Options{Zones: []string{"a."}}}).Transfer("b.", 0); err == nil {
		t.Error("a zone of others was transferred")
	}
}
