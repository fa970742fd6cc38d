package policy

import (
	"bytes"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// believe says whose word about the client counts, as nginx's realip module (real_ip_recursive on) does.
type believe struct {
	*settings.RealIP
	header string
	all    bool // every peer is trusted
}

func newBelieve(r *settings.RealIP) believe {
	b := believe{RealIP: r, header: r.Header}
	if b.header == "" {
		b.header = "X-Forwarded-For"
	}
	b.all = len(r.Trusted) == 0
	return b
}

func (b *believe) trusts(addr netip.Addr) bool {
	return b.all || contains(b.Trusted, addr)
}

// contains tells whether one of the prefixes holds addr.
func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for i := range prefixes {
		if prefixes[i].Contains(addr) {
			return true
		}
	}
	return false
}

// Begin settles who the client is, and what it has called us: x.Client, Scheme, Authority, Port, and Request.Client.
func (e *Entry) Begin(x *Exchange) {
	r := x.Request
	if !r.Client.IsValid() {
		r.Client = r.Peer
	}
	x.Client = r.Client.Addr().Unmap().WithZone("") // no prefix contains an address with a zone
	x.Scheme, x.Port = "http", r.Local.Port()
	if r.TLS != nil {
		x.Scheme = "https"
	}
	switch x.Port {
	case e.ports.HTTPS:
		x.Port = 443
	case e.ports.HTTP:
		x.Port = 80
	}
	x.own.believed, x.own.full = false, false
	x.Authority = r.Authority
	x.Method = r.Method
	x.own.peer, x.own.certs = x.Client, e.state.certs
	if e.believe.ForwardedHeaders && e.believe.trusts(x.Client) {
		x.own.believed, x.own.full = true, e.believe.AppendFor
		e.believe.headers(x)
	}
	if e.believe.ProxyProtocol && r.Local.Port() == 443 { // who speaks PROXY protocol to us has ended the TLS
		x.Scheme = "https"
	}
}

// headers takes what a trusted peer says.
func (b *believe) headers(x *Exchange) {
	h := x.Request.Header
	if client, ok := b.client(h); ok {
		x.Client = client
		x.Request.Client = netip.AddrPortFrom(client, 0)
	}
	switch proto := firstOf(h.Get("X-Forwarded-Proto")); {
	case message.Equal(proto, "https"):
		x.Scheme = "https"
	case message.Equal(proto, "http"):
		x.Scheme = "http"
	}
	if port, ok := decimal(firstOf(h.Get("X-Forwarded-Port"))); ok && 0 < port && port < 1<<16 {
		x.Port = uint16(port)
	}
	if host := firstOf(h.Get("X-Forwarded-Host")); isAuthority(host) {
		x.Authority = host
	}
}

// client returns the last address of the header that is not one of a trusted peer, else the first.
func (b *believe) client(h message.Header) (client netip.Addr, ok bool) {
	for i := len(h) - 1; i >= 0; i-- {
		if !message.Equal(h[i].Name, b.header) {
			continue
		}
		list := h[i].Value
		for len(list) > 0 {
			var last []byte
			last, list = cutLast(list)
			addr, valid := parseAddr(last)
			if !valid {
				return client, ok
			}
			client, ok = addr, true
			if !b.trusts(addr) {
				return client, ok
			}
		}
	}
	return client, ok
}

// cutLast splits a list at its last comma.
func cutLast(list []byte) (last, rest []byte) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == ',' {
			return trimSpace(list[i+1:]), list[:i]
		}
	}
	return trimSpace(list), nil
}

// parseAddr reads an address as proxies write it: with or without a port, IPv6 with or without brackets.
func parseAddr(text []byte) (netip.Addr, bool) {
	if len(text) == 0 || len(text) > 64 {
		return netip.Addr{}, false
	}
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		addr, err := netip.ParseAddr(s[1 : len(s)-1])
		return addr.WithZone(""), err == nil
	}
	return netip.Addr{}, false
}

// firstOf returns the first element of a list.
func firstOf(list []byte) []byte {
	for t := range message.Tokens(list) {
		return t
	}
	return nil
}

func decimal(text []byte) (n int, ok bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// isAuthority tells whether text can be a host with or without port, which may go into a Location.
func isAuthority(text []byte) bool {
	for _, c := range text {
		if !isAlphanumeric(c) && bytes.IndexByte([]byte(".-:[]_"), c) < 0 {
			return false
		}
	}
	return len(text) > 0
}
