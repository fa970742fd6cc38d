package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// outsideName, and all names of the domain freshDomain, are what the world outside of the cluster has, with these addresses. A test
// that counts questions takes a name of that domain which nobody has asked for: answers are kept.
const (
	outsideName = "www.example.com."
	freshDomain = ".fresh.example.com."
	outsideIPv4 = "203.0.113.80"
	outsideIPv6 = "2001:db8::80"
)

// upstream is the name server outside, where the client is. It notes what it is asked.
type upstream struct {
	mu    sync.Mutex
	asked []string
}

// startUpstream serves until the test ends.
func startUpstream(t *testing.T, c *testCluster) *upstream {
	t.Helper()
	path, err := cluster.NamespacePath(c.spec(t), "client")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := lab.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(cluster.ClientAddress().V4, 53)
	packets, err := outside.ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := outside.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{}
	var running sync.WaitGroup
	servers := []*dns.Server{{PacketConn: packets, Handler: u}, {Listener: listener, Handler: u}}
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		running.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				t.Error(err)
			}
		})
		<-started
	}
	t.Cleanup(func() {
		for _, server := range servers {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
		}
		running.Wait()
		if err := outside.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// ServeDNS implements dns.Handler.
func (u *upstream) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	question := r.Question[0]
	u.mu.Lock()
	u.asked = append(u.asked, question.Name+" "+dns.TypeToString[question.Qtype])
	u.mu.Unlock()
	reply := new(dns.Msg)
	reply.SetReply(r)
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 60}
	switch {
	case question.Name != outsideName && !strings.HasSuffix(question.Name, freshDomain):
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: "com.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.com.", Mbox: "hostmaster.com.", Minttl: 60,
		}}
	case question.Qtype == dns.TypeA:
		reply.Answer = []dns.RR{&dns.A{Hdr: header, A: netip.MustParseAddr(outsideIPv4).AsSlice()}}
	case question.Qtype == dns.TypeAAAA:
		reply.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: netip.MustParseAddr(outsideIPv6).AsSlice()}}
	}
	_ = w.WriteMsg(reply) // an error means that nobody waits any more
}

// take returns what was asked since the last call, in order.
func (u *upstream) take() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked := u.asked
	u.asked = nil
	slices.Sort(asked)
	return asked
}
