package nginx

import (
	"cmp"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// innerTLS is the socket of TLS connections that are not passed through, where there is a stream server before it.
const innerTLS = "tls.sock"

// servers renders the hosts, the default one first.
func (r *renderer) servers() []directive {
	var list []directive
	for i, h := range r.hosts() {
		list = append(list, r.server(h, i == 0))
	}
	return list
}

// server renders one host.
func (r *renderer) server(h *route.Host, isDefault bool) directive {
	list := r.listen(isDefault)
	list = append(list, d("server_name", r.serverNames(h)...))
	list = append(list, r.certificate(h)...)
	if h.WWW != "" {
		return block("server", nil, append(list, d("return", number(http.StatusPermanentRedirect), value(ofName("switchyard_scheme"), text("://"+h.WWW), ofName("request_uri"))))...)
	}
	list = append(list, r.blocked()...)
	r.inner = nil
	var locations []directive
	seen := map[string]bool{}
	for _, l := range inOrder(h) {
		if l.Match == route.MatchPrefix && !strings.HasSuffix(l.Path, "/") {
			locations = r.elementwise(h, l, seen, locations)
			continue
		}
		locations = appendOnce(locations, seen, r.location(h, l))
	}
	list = append(list, appRoots(h)...)
	list = append(list, r.serverSnippet(h)...)
	return block("server", nil, append(append(list, locations...), r.inner...)...)
}

// inOrder returns a host's locations in an order in which the first of the same path counts: an exact one before a prefix, and
// nginx's own redirects last. Of patterns the order is the host's.
func inOrder(h *route.Host) []*route.Location {
	if h.Regex {
		return h.Locations
	}
	list := slices.Clone(h.Locations)
	slices.SortStableFunc(list, func(a, b *route.Location) int { return cmp.Compare(a.Match, b.Match) })
	return list
}

// appRoots renders where "/" is redirected to: it is one of the host, whatever location the annotation is of.
func appRoots(h *route.Host) []directive {
	for _, l := range h.Locations {
		if app := l.Settings.Rewrite.AppRoot; app != "" && unprintable(app) == nil {
			return []directive{block("if", []arg{key("($uri"), key("="), key("/)")},
				d("return", number(http.StatusFound), value(ofName("scheme"), text("://"), ofName("http_host"), text(app))))}
		}
	}
	return nil
}

// elementwise renders a prefix that matches whole elements of paths: itself, and all below it.
func (r *renderer) elementwise(h *route.Host, l *route.Location, seen map[string]bool, locations []directive) []directive {
	one := r.location(h, l)
	exact, below := one, one
	exact.args = []arg{key("="), plain(l.Path)}
	below.args = []arg{plain(l.Path + "/")}
	return appendOnce(appendOnce(locations, seen, exact), seen, below)
}

// appendOnce appends a location unless there is one of the same path: nginx takes no second one, and the first counts.
func appendOnce(list []directive, seen map[string]bool, l directive) []directive {
	var id strings.Builder
	for _, a := range l.args {
		id.WriteString(string(a) + " ")
	}
	if seen[id.String()] {
		return list
	}
	seen[id.String()] = true
	return append(list, l)
}

// listen renders where the servers listen; options are said once, by the default server.
func (r *renderer) listen(isDefault bool) []directive {
	g := r.in.Table.Global
	var list []directive
	add := func(port uint16, options ...arg) {
		if isDefault {
			options = append(options, key("default_server"), key("backlog=4096"))
			if r.in.Entry.Workers != 1 {
				options = append(options, key("reuseport"))
			}
		}
		if g.RealIP.ProxyProtocol {
			options = append(options, key("proxy_protocol"))
		}
		for _, a := range r.addresses() {
			list = append(list, d("listen", append([]arg{address(netip.AddrPortFrom(a, port))}, options...)...))
		}
	}
	if r.in.Entry.HTTPPort != 0 {
		add(r.in.Entry.HTTPPort)
	}
	if r.in.Entry.HTTPSPort == 0 {
		return list
	}
	tls := []arg{key("ssl")}
	if g.Client.HTTP2 {
		tls = append(tls, key("http2"))
	}
	if !r.passthrough() {
		add(r.in.Entry.HTTPSPort, tls...)
		return list
	}
	if isDefault {
		tls = append(tls, key("default_server"))
		list = append(list, d("set_real_ip_from", key("unix:")), d("real_ip_header", key("proxy_protocol")))
	}
	return append(list, d("listen", append([]arg{plain("unix:" + r.run(innerTLS))}, append(tls, key("proxy_protocol"))...)...))
}

// addresses returns what is listened on.
func (r *renderer) addresses() []netip.Addr {
	if len(r.in.Entry.Addresses) == 0 {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	return r.in.Entry.Addresses
}

// serverNames returns a host's name and aliases. A wildcard stands for one label, which nginx's own does not.
func (r *renderer) serverNames(h *route.Host) []arg {
	names := []arg{plain("_")}
	switch suffix, wildcard := strings.CutPrefix(h.Name, "*."); {
	case wildcard:
		names = []arg{plain(`~^[^.]+\.` + regexp.QuoteMeta(suffix) + "$")}
	case h.Name != "":
		names = []arg{plain(h.Name)}
	}
	for _, a := range r.in.Table.Aliases(h) {
		switch {
		case unprintable(a.Name) != nil:
		case a.Pattern != nil:
			names = append(names, plain("~"+a.Pattern.String()))
		default:
			names = append(names, plain(a.Name))
		}
	}
	return names
}

// certificate renders the host's TLS. The files are named after their content's Secret.
func (r *renderer) certificate(h *route.Host) []directive {
	if r.in.Entry.HTTPSPort == 0 {
		return nil
	}
	name, pair := "default", r.in.Entry.Certificate
	if c := r.in.Table.Certificate; c != nil {
		name, pair = "default", c.TLS
	}
	if c := h.Certificate; c != nil {
		name, pair = c.Secret.Namespace+"_"+c.Secret.Name, c.TLS
	}
	if pair == nil {
		return []directive{d("ssl_reject_handshake", key("on"))}
	}
	certificate, private, err := encodePair(pair)
	if err != nil {
		r.problems = append(r.problems, entryProblem("the certificate "+name+" cannot be written for nginx: "+err.Error()))
		return []directive{d("ssl_reject_handshake", key("on"))}
	}
	r.file("tls-"+name+".crt", certificate)
	r.file("tls-"+name+".key", private)
	list := []directive{d("ssl_certificate", plain(r.path("tls-"+name+".crt"))), d("ssl_certificate_key", plain(r.path("tls-"+name+".key")))}
	if h.Name == "" && r.in.Table.Global.TLS.RejectHandshake {
		list = append(list, d("ssl_reject_handshake", key("on")))
	}
	if names := ciphers(h.Ciphers); names != "" {
		list = append(list, d("ssl_ciphers", plain(names)))
	}
	return append(list, r.verifyClients(h)...)
}

// verifyClients renders whom clients' certificates have to be from.
func (r *renderer) verifyClients(h *route.Host) []directive {
	c := h.ClientTLS
	if c == nil || c.Verify == settings.VerifyOff {
		return nil
	}
	name := "clients-" + c.Secret.Namespace + "_" + c.Secret.Name
	r.file(name+".ca", string(c.CA))
	verify := map[settings.ClientVerify]string{
		settings.VerifyOn: "on", settings.VerifyOptional: "optional", settings.VerifyOptionalNoCA: "optional_no_ca",
	}[c.Verify]
	list := []directive{
		d("ssl_client_certificate", plain(r.path(name+".ca"))), d("ssl_verify_client", key(verify)), d("ssl_verify_depth", number(max(1, c.Depth))),
	}
	if len(c.CRL) > 0 {
		r.file(name+".crl", string(c.CRL))
		list = append(list, d("ssl_crl", plain(r.path(name+".crl"))))
	}
	if c.ErrorPage != "" {
		list = append(list, d("error_page", number(495), number(496), key("="), literal(c.ErrorPage)))
	}
	return list
}

// clientTLS renders what a location does with the client's certificate. Its answers are those of ingress-nginx.
func (r *renderer) clientTLS(h *route.Host) []directive {
	if h.ClientTLS.MatchCN == nil {
		return nil
	}
	return []directive{block("if", []arg{key("($ssl_client_s_dn"), key("!~"), arg(string(plain(h.ClientTLS.MatchCN.String())) + " )")},
		d("return", number(http.StatusForbidden), plain("client certificate unauthorized")))}
}

// clientIdentity returns the fields that tell backends of the client's certificate, all of them constants. Those that a client
// sends itself are taken away.
func (r *renderer) clientIdentity(h *route.Host) [][2]string {
	const none = `""`
	fields := [][2]string{{"ssl-client-cert", none}, {"ssl-client-verify", none}, {"ssl-client-subject-dn", none}, {"ssl-client-issuer-dn", none}}
	if h.ClientTLS == nil {
		return fields
	}
	if h.ClientTLS.Pass {
		fields[0][1] = "$ssl_client_escaped_cert"
	}
	fields[1][1], fields[2][1], fields[3][1] = "$ssl_client_verify", "$ssl_client_s_dn", "$ssl_client_i_dn"
	return fields
}

// blocked renders whom the whole entry refuses.
func (r *renderer) blocked() []directive {
	b := r.in.Table.Global.Block
	var list []directive
	for _, p := range b.UserAgents {
		list = append(list, block("if", []arg{key("($http_user_agent"), key("~"), arg(string(plain(p.String())) + " )")}, d("return", number(http.StatusForbidden))))
	}
	for _, p := range b.Referers {
		list = append(list, block("if", []arg{key("($http_referer"), key("~"), arg(string(plain(p.String())) + " )")}, d("return", number(http.StatusForbidden))))
	}
	return list
}

// serverSnippet renders the statements of server-snippet. One that cannot be written is left out.
func (r *renderer) serverSnippet(h *route.Host) []directive {
	var list []directive
	l := &route.Location{Host: h.Name, Settings: &settings.Settings{}}
	set := map[string]bool{}
	for _, s := range h.Server {
		if s.Op == settings.SetVariable {
			set[s.Name] = true
		}
	}
	for _, s := range h.Server {
		one, err := r.statement(s, l, set)
		if err == nil {
			err = writable(one)
		}
		if err != nil {
			r.problems = append(r.problems, entryProblem("server-snippet of host "+h.Name+": "+err.Error()))
			continue
		}
		list = append(list, one...)
	}
	return list
}

// entryProblem is one of the entry as a whole.
func entryProblem(message string) route.Problem {
	return route.Problem{Kind: "ConfigMap", Ref: model.Ref{}, Reason: "EngineCannot", Message: message}
}
