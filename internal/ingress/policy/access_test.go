package policy

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddresses(t *testing.T) {
	cases := []struct{ name, annotations, peer, want string }{
		{"in the allow list", "allowlist-source-range: 192.0.2.0/24, 2001:db8::/32", "192.0.2.1:1", "GET /"},
		{"in the allow list by its old name", "whitelist-source-range: 192.0.2.0/24", "192.0.2.1:1", "GET /"},
		{"in the allow list by IPv6", "allowlist-source-range: 192.0.2.0/24, 2001:db8::/32", "[2001:db8::1]:1", "GET /"},
		{"with a zone", "denylist-source-range: fe80::/10", "[fe80::1%eth0]:1", "= 403"},
		{"IPv4 in IPv6", "allowlist-source-range: 192.0.2.0/24", "[::ffff:192.0.2.1]:1", "GET /"},
		{"not in the allow list", "allowlist-source-range: 192.0.2.0/24", "198.51.100.1:1", "= 403"},
		{"in the deny list", "denylist-source-range: 192.0.2.1", "192.0.2.1:1", "= 403"},
		{"not in the deny list", "denylist-source-range: 192.0.2.1", "192.0.2.2:1", "GET /"},
		{"in both: the deny list is first", "denylist-source-range: 192.0.2.1\nallowlist-source-range: 192.0.2.0/24", "192.0.2.1:1", "= 403"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", c.annotations)
			if diff := cmp.Diff(c.want, s.outcome("GET http://example.com/\nPeer: "+c.peer)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	s := newSite(t, "/", "permanent-redirect: https://other.example")
	s.global.Block.Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	s.global.Block.UserAgents = []*regexp.Regexp{regexp.MustCompile("(?i)badbot")}
	s.global.Block.Referers = []*regexp.Regexp{regexp.MustCompile("^https://spam")}
	for request, want := range map[string]string{
		"GET http://example.com/":                                 lines("= 301", "Location: https://other.example"),
		"GET http://example.com/\nPeer: 198.51.100.7:1":           "= 403",
		"GET http://example.com/\nUser-Agent: a BadBot":           "= 403",
		"GET http://example.com/\nReferer: https://spam.example/": "= 403",
		"GET http://example.com/\nReferer: https://ok.example/":   lines("= 301", "Location: https://other.example"),
	} {
		if diff := cmp.Diff(want, s.outcome(request)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", request, diff)
		}
	}
}

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}
	cases := []struct {
		name    string
		on      bool
		trusted []netip.Prefix
		request string
		want    string
	}{
		{"nobody is believed", false, nil, "GET http://example.com/\nX-Forwarded-For: 203.0.113.9", "192.0.2.1 http example.com"},
		{"the trusted peer is", true, trusted, "GET http://example.com/\nX-Forwarded-For: 203.0.113.9", "203.0.113.9 http example.com"},
		{
			"the last address that is not trusted", true, trusted,
			"GET http://example.com/\nX-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.1.1.1", "203.0.113.9 http example.com",
		},
		{
			"over several fields", true, trusted,
			"GET http://example.com/\nX-Forwarded-For: 1.1.1.1, 203.0.113.9\nX-Forwarded-For: 10.1.1.1", "203.0.113.9 http example.com",
		},
		{"all trusted: the first", true, trusted, "GET http://example.com/\nX-Forwarded-For: 10.2.2.2, 10.1.1.1", "10.2.2.2 http example.com"},
		{"what is no address ends the search", true, trusted, "GET http://example.com/\nX-Forwarded-For: 203.0.113.9, evil, 10.1.1.1", "10.1.1.1 http example.com"},
		{"all peers are trusted: the first", true, nil, "GET http://example.com/\nX-Forwarded-For: 203.0.113.9, 198.51.100.1", "203.0.113.9 http example.com"},
		{"another peer is not", true, trusted, "GET http://example.com/\nPeer: 198.51.100.1:9\nX-Forwarded-For: 203.0.113.9", "198.51.100.1 http example.com"},
		{"with a port and IPv6", true, trusted, "GET http://example.com/\nX-Forwarded-For: [2001:db8::1]:443", "2001:db8::1 http example.com"},
		{
			"scheme and host of the proxy", true, trusted,
			"GET http://example.com/\nX-Forwarded-Proto: https\nX-Forwarded-Host: a.example:444, b\nX-Forwarded-Port: 444", "192.0.2.1 https a.example:444",
		},
		{
			"not from another peer", true, trusted,
			"GET http://example.com/\nPeer: 198.51.100.1:9\nX-Forwarded-Proto: https\nX-Forwarded-Host: a.example", "198.51.100.1 http example.com",
		},
		{"a host that is none", true, trusted, "GET http://example.com/\nX-Forwarded-Host: a/b", "192.0.2.1 http example.com"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "/", "")
			s.global.RealIP.ForwardedHeaders, s.global.RealIP.Trusted = c.on, c.trusted
			x := s.request(c.request)
			got := x.Client.String() + " " + x.Scheme + " " + string(x.Authority)
			if got != c.want || x.Request.Client.Addr().Unmap() != x.Client {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestProxyProtocolResult(t *testing.T) {
	s := newSite(t, "/", "allowlist-source-range: 203.0.113.0/24")
	x := s.request("GET http://example.com/")
	x.Request.Client = netip.MustParseAddrPort("203.0.113.5:999") // as the listener has read it
	NewEntry(s.global, s.state, Ports{}).Begin(x)
	if !s.policy.Admit(x) || x.Client.String() != "203.0.113.5" {
		t.Errorf("client %v is not let in", x.Client)
	}
	x.Request.Local = netip.MustParseAddrPort("192.0.2.100:443")
	NewEntry(s.global, s.state, Ports{}).Begin(x)
	if x.Scheme != "http" {
		t.Error("the port alone makes a connection https")
	}
	s.global.RealIP.ProxyProtocol = true
	NewEntry(s.global, s.state, Ports{}).Begin(x)
	if x.Scheme != "https" {
		t.Error("a connection to port 443, as PROXY protocol says, is not https")
	}
}
