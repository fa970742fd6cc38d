package nginx

import (
	"fmt"
	"net/netip"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// passthrough reports whether TLS connections to some host go to its backend undecrypted.
func (r *renderer) passthrough() bool {
	if r.in.Entry.HTTPSPort == 0 {
		return false
	}
	for h := range r.in.Table.Hosts() {
		if h.Passthrough != nil {
			return true
		}
	}
	return false
}

// stream renders TCP and UDP services and TLS passthrough; nil: there is none of them.
func (r *renderer) stream() []directive {
	var list []directive
	for i, s := range r.in.Table.Streams {
		list = append(list, r.service(i, s)...)
	}
	if r.passthrough() {
		list = append(list, r.byServerName()...)
	}
	return list
}

// service renders one TCP or UDP service.
func (r *renderer) service(i int, s route.Stream) []directive {
	name := fmt.Sprintf("stream_%d", i)
	group, ok := r.streamGroup(name, s.Backend)
	if !ok {
		return nil
	}
	var options []arg
	if s.Protocol == model.UDP {
		options = append(options, key("udp"))
	}
	if s.ProxyIn {
		options = append(options, key("proxy_protocol"))
	}
	var inner []directive
	for _, a := range r.addresses() {
		inner = append(inner, d("listen", append([]arg{address(netip.AddrPortFrom(a, s.Port))}, options...)...))
	}
	inner = append(inner, d("proxy_timeout", key("600s")), d("proxy_pass", key(name)))
	if s.Protocol == model.UDP {
		inner = append(inner, d("proxy_responses", number(1)))
	}
	if s.ProxyOut {
		inner = append(inner, d("proxy_protocol", key("on")))
	}
	return []directive{group, block("server", nil, inner...)}
}

func (r *renderer) streamGroup(name string, b *route.Backend) (directive, bool) {
	if b == nil {
		return directive{}, false
	}
	pool := r.in.Table.Pool(b)
	if len(pool.Endpoints) == 0 {
		return directive{}, false
	}
	var inner []directive
	for _, e := range pool.Endpoints {
		inner = append(inner, d("server", address(e.Addr)))
	}
	return block("upstream", []arg{key(name)}, inner...), true
}

// byServerName renders the server before TLS that hands connections on by the name in the client's hello. It tells by PROXY
// protocol who the client is, which our own TLS reads; a socket before each backend takes that away again.
func (r *renderer) byServerName() []directive {
	names := []directive{d("hostnames"), d("default", plain("unix:"+r.run(innerTLS)))}
	var list []directive
	for i, h := range r.hosts() {
		if h.Passthrough == nil {
			continue
		}
		name := fmt.Sprintf("passthrough_%d", i)
		group, ok := r.streamGroup(name, h.Passthrough)
		if !ok {
			continue
		}
		socket := plain("unix:" + r.run(name+".sock"))
		list = append(list, group, block("server", nil, d("listen", socket, key("proxy_protocol")), d("proxy_pass", key(name))))
		for _, n := range r.serverNames(h) {
			names = append(names, d(string(n), socket))
		}
	}
	list = append(list, block("map", []arg{key("$ssl_preread_server_name"), key("$switchyard_next")}, names...))
	var front []directive
	for _, a := range r.addresses() {
		front = append(front, d("listen", address(netip.AddrPortFrom(a, r.in.Entry.HTTPSPort)), key("backlog=4096")))
	}
	return append(list, block("server", nil, append(front, d("ssl_preread", key("on")), d("proxy_protocol", key("on")), d("proxy_pass", key("$switchyard_next")))...))
}
