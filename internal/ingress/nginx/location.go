package nginx

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// location renders one location, after a comment that names its Ingress. What it needs at other levels is kept only if all of it
// can be written.
func (r *renderer) location(h *route.Host, l *route.Location) directive {
	if why := r.in.Refused[l.Ingress]; why != "" {
		return block("location", matching(l), unavailable()...)
	}
	before, innerBefore := len(r.http), len(r.inner)
	r.http = append(r.http, comment(l.Ingress))
	list, err := r.body(h, l)
	if err == nil {
		err = writable(slices.Concat(list, r.inner[innerBefore:], r.http[before+1:]))
	}
	if err != nil {
		r.http, r.inner = r.http[:before], r.inner[:innerBefore]
		maps.DeleteFunc(r.groups, func(_ string, at int) bool { return at >= before })
		r.problem(l.Ingress, "", err.Error()+"; requests are answered 503")
		return block("location", matching(l), unavailable()...)
	}
	r.http = append(r.http, comment(model.Ref{}))
	return block("location", matching(l), append([]directive{comment(l.Ingress)}, list...)...)
}

// writable returns an error if a string of the API cannot stand in a configuration.
func writable(list []directive) error {
	for _, e := range list {
		for _, a := range e.args {
			if err := unprintable(string(a)); err != nil {
				return err
			}
		}
		if err := unprintable(e.name); err != nil {
			return err
		}
		if err := writable(e.block); err != nil {
			return err
		}
	}
	return nil
}

// matching returns the arguments of a location. A prefix is rendered as two locations by the server, exact and with a slash.
func matching(l *route.Location) []arg {
	switch l.Match {
	case route.MatchExact, route.MatchSlash:
		return []arg{key("="), plain(l.Path)}
	case route.MatchPattern:
		return []arg{key("~"), plain(l.Pattern.String())}
	}
	return []arg{plain(l.Path)}
}

// body renders what a location does, in the order of nginx's phases.
func (r *renderer) body(h *route.Host, l *route.Location) ([]directive, error) {
	switch {
	case l.Denied != "":
		return unavailable(), nil
	case l.Backend == nil && l.Match != route.MatchSlash:
		return []directive{d("return", number(http.StatusNotFound))}, nil
	}
	if l.Match == route.MatchSlash {
		return []directive{d("return", number(http.StatusMovedPermanently), value(text(l.Path+"/"), ofName("is_args"), ofName("args")))}, nil
	}
	list := r.redirects(h, l)
	if h.ClientTLS != nil {
		list = append(list, r.clientTLS(h)...)
	}
	list = append(list, r.cors(l)...)
	snippet, err := r.snippet(l)
	if err != nil {
		return nil, err
	}
	list = append(list, snippet...)
	list = append(list, r.limits(l)...)
	list = append(list, r.access(l)...)
	list = append(list, r.bodies(l)...)
	headers, err := r.headers(h, l)
	if err != nil {
		return nil, err
	}
	list = append(list, headers...)
	list = append(list, r.replaced(l)...)
	list = append(list, r.mirror(l)...)
	list = append(list, r.rewrite(l)...)
	if l.Settings.NoAccessLog {
		list = append(list, d("access_log", key("off")))
	}
	if l.Settings.Trace.On && !r.in.Table.Global.Defaults.Trace.On {
		r.problem(l.Ingress, "enable-opentelemetry", noSpans)
	}
	return append(list, r.target(l)...), nil
}

// redirects renders what is sent elsewhere, which nginx does before it asks who it is.
func (r *renderer) redirects(h *route.Host, l *route.Location) []directive {
	s := &l.Settings.Redirect
	var list []directive
	if s.Relative {
		list = append(list, d("absolute_redirect", key("off")))
	}
	if s.PortInRedirects {
		list = append(list, d("port_in_redirect", key("on")))
	}
	if (s.TLS && h.HasTLS || s.TLSAlways) && s.To == "" { // else it is sent there first
		uri := "switchyard_stripped_uri"
		if s.KeepSlash {
			uri = "request_uri"
		}
		list = append(list, block("if", []arg{key("($switchyard_to_tls)")},
			d("return", number(s.TLSCode), value(text("https://"), ofName("host"), ofName(uri)))))
	}
	if s.To != "" {
		to, err := template(s.To, l, nil)
		if err != nil {
			r.problem(l.Ingress, "permanent-redirect", err.Error())
			return append(list, unavailable()...)
		}
		list = append(list, d("return", number(s.Code), to))
	}
	return list
}

// rewrites reports whether the path of requests changes.
func rewrites(l *route.Location) bool {
	return l.Settings.Rewrite.Target != "" && l.Settings.Rewrite.Target != l.Path
}

// rewrite renders the target of the path. A location that is no pattern has no captures.
func (r *renderer) rewrite(l *route.Location) []directive {
	s := &l.Settings.Rewrite
	if !rewrites(l) {
		return nil
	}
	pattern := "(?i)" + l.Path
	if l.Match != route.MatchPattern {
		pattern = "(?i)" + regexp.QuoteMeta(l.Path)
	}
	to, err := template(s.Target, l, nil)
	if err != nil {
		r.problem(l.Ingress, "rewrite-target", err.Error())
		return unavailable()
	}
	return []directive{d("rewrite", plain(pattern), to, key("break"))}
}

// bodies renders limits and buffers of bodies, timeouts and further tries.
func (r *renderer) bodies(l *route.Location) []directive {
	p := &l.Settings.Proxy
	family := "proxy"
	switch l.Settings.Upstream.Protocol {
	case settings.GRPC, settings.GRPCS:
		family = "grpc"
	case settings.FCGI:
		family = "fastcgi"
	}
	list := []directive{
		d("client_max_body_size", number(p.MaxBody)),
		d(family+"_connect_timeout", duration(p.Connect)), d(family+"_read_timeout", duration(p.Read)), d(family+"_send_timeout", duration(p.Send)),
		d(family+"_next_upstream", nextUpstream(p.Next)...), d(family+"_next_upstream_tries", number(p.Next.Tries)),
		d(family+"_next_upstream_timeout", duration(p.Next.Timeout)),
	}
	if p.BodyBuffer > 0 {
		list = append(list, d("client_body_buffer_size", number(p.BodyBuffer)))
	}
	if family == "grpc" {
		return append(list, d("grpc_buffer_size", number(p.BufferSize)))
	}
	list = append(list, d(family+"_buffering", onOff(p.BufferResponse)), d(family+"_request_buffering", onOff(p.BufferRequest)))
	if p.BufferSize > 0 {
		count := max(p.Buffers, 2)
		list = append(list, d(family+"_buffer_size", number(p.BufferSize)), d(family+"_buffers", number(count), number(p.BufferSize)),
			d(family+"_max_temp_file_size", number(fileSize(p))))
	}
	if family == "proxy" {
		list = append(list, r.responses(l)...)
	}
	return list
}

// fileSize returns how much of a response may go to disk; nginx takes none or at least a buffer.
func fileSize(p *settings.Proxy) int64 {
	if p.MaxTempFile == 0 {
		return 0
	}
	return max(p.MaxTempFile, 2*p.BufferSize)
}

// responses renders what only proxy_pass has: the version, and Location and Set-Cookie of responses.
func (r *renderer) responses(l *route.Location) []directive {
	p := &l.Settings.Proxy
	version := "1.1"
	if p.HTTP10 {
		version = "1.0"
	}
	list := []directive{d("proxy_http_version", key(version))}
	switch {
	case p.RedirectOff || p.RedirectFrom == "":
		list = append(list, d("proxy_redirect", key("off")))
	case p.RedirectFrom == "default":
		r.problem(l.Ingress, "proxy-redirect-from", "nginx takes no default where the upstream is chosen by name; redirects of the backend are left as they are")
		list = append(list, d("proxy_redirect", key("off")))
	default:
		list = append(list, d("proxy_redirect", literal(p.RedirectFrom), literal(p.RedirectTo)))
	}
	for _, c := range p.CookieDomain {
		list = append(list, d("proxy_cookie_domain", literal(c.From), literal(c.To)))
	}
	for _, c := range p.CookiePath {
		list = append(list, d("proxy_cookie_path", literal(c.From), literal(c.To)))
	}
	return append(list, r.backendTLS(l)...)
}

func onOff(on bool) arg {
	if on {
		return key("on")
	}
	return key("off")
}

func nextUpstream(n settings.NextUpstream) []arg {
	if n.On&settings.NextOff != 0 || n.On == 0 && len(n.Status) == 0 {
		return []arg{key("off")}
	}
	var list []arg
	for _, c := range []struct {
		on   settings.NextCondition
		name string
	}{
		{settings.NextError, "error"},
		{settings.NextTimeout, "timeout"},
		{settings.NextInvalidHeader, "invalid_header"},
		{settings.NextNonIdempotent, "non_idempotent"},
	} {
		if n.On&c.on != 0 {
			list = append(list, key(c.name))
		}
	}
	for _, s := range n.Status {
		list = append(list, key(fmt.Sprintf("http_%d", s)))
	}
	return list
}
