package nginx

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// access returns what decides who may ask: addresses, passwords, another server.
func (r *renderer) access(l *route.Location) []directive {
	var list []directive
	s := l.Settings
	for _, p := range s.Access.Deny {
		list = append(list, d("deny", prefix(p)))
	}
	for _, p := range s.Access.Allow {
		list = append(list, d("allow", prefix(p)))
	}
	if len(s.Access.Allow) > 0 {
		list = append(list, d("deny", key("all")))
	}
	if s.Access.SatisfyAny {
		list = append(list, d("satisfy", key("any")))
	}
	if slices.ContainsFunc(r.in.Table.Global.NoAuth, func(prefix string) bool { return prefix != "" && strings.HasPrefix(l.Path, prefix) }) {
		return list
	}
	list = append(list, r.basicAuth(l)...)
	return append(list, r.externalAuth(l)...)
}

// authOf returns which server is asked about requests of a location: its own, or that of the entry; nil: none.
func (r *renderer) authOf(l *route.Location) *settings.ExternalAuth {
	if l.Settings.Auth == nil && !l.Settings.NoGlobalAuth {
		return r.in.Table.Global.Auth
	}
	return l.Settings.Auth
}

func prefix(p netip.Prefix) arg { return arg(p.String()) }

// basicAuth writes the users into a file, which only nginx reads.
func (r *renderer) basicAuth(l *route.Location) []directive {
	auth := l.Settings.BasicAuth
	if auth == nil {
		return nil
	}
	if auth.Digest {
		r.problem(l.Ingress, "auth-type", "nginx has no digest authentication; all requests are refused")
		return []directive{d("deny", key("all"))}
	}
	name := fmt.Sprintf("users-%d", l.Number)
	var lines []string
	if l.Users != nil {
		for user, hash := range *l.Users {
			if unprintable(user+hash) == nil && !strings.Contains(user, ":") {
				lines = append(lines, user+":"+hash+"\n")
			}
		}
	}
	slices.Sort(lines)
	r.file(name, strings.Join(lines, ""))
	return []directive{
		d("auth_basic", literal(auth.Realm)), d("auth_basic_user_file", plain(r.path(name))),
		d("proxy_set_header", key("Authorization"), plain("")),
	}
}

// externalAuth asks another server, by a location of its own.
func (r *renderer) externalAuth(l *route.Location) []directive {
	auth := r.authOf(l)
	if auth == nil {
		return nil
	}
	url, err := template(auth.URL, l, nil)
	if err != nil {
		r.problem(l.Ingress, "auth-url", err.Error()+"; all requests are refused")
		return []directive{d("deny", key("all"))}
	}
	if len(r.in.Entry.Resolvers) == 0 && !addressed(auth.URL) {
		r.problem(l.Ingress, "auth-url", "nginx needs a name server to find its host; /etc/resolv.conf names none. All requests are refused")
		return []directive{d("deny", key("all"))}
	}
	if auth.CacheKey != "" {
		r.problem(l.Ingress, "auth-cache-key", "answers of the authentication are not kept by the nginx engine; each request asks")
	}
	name := fmt.Sprintf("/_switchyard_auth_%d", l.Number)
	r.inner = append(r.inner, r.authLocation(name, url, l))
	list := []directive{d("auth_request", key(name))}
	for n, h := range auth.ResponseHeaders {
		if upstream := strings.ReplaceAll(strings.ToLower(h), "-", "_"); isVariable(upstream) {
			v := fmt.Sprintf("$switchyard_auth_%d", n)
			list = append(list, d("auth_request_set", key(v), key("$upstream_http_"+upstream)), d("proxy_set_header", plain(h), key(v)))
		}
	}
	list = append(list, d("auth_request_set", key("$switchyard_auth_cookie"), key("$upstream_http_set_cookie")), d("add_header", key("Set-Cookie"), key("$switchyard_auth_cookie")))
	return append(list, r.signIn(l, auth)...)
}

// addressed reports whether a URL has an address instead of a name.
func addressed(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	if _, err := netip.ParseAddrPort(host); err == nil {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func (r *renderer) authLocation(name string, url arg, l *route.Location) directive {
	auth := r.authOf(l)
	inner := []directive{
		d("internal"), d("proxy_pass_request_body", key("off")), d("proxy_set_header", key("Content-Length"), plain("")),
		d("proxy_set_header", key("X-Forwarded-Proto"), plain("")), d("proxy_set_header", key("X-Request-ID"), key("$switchyard_request_id")),
		d("proxy_set_header", key("X-Original-URI"), key("$request_uri")), d("proxy_set_header", key("X-Original-URL"), key("$switchyard_scheme://$http_host$request_uri")),
		d("proxy_set_header", key("X-Original-Method"), key("$request_method")), d("proxy_set_header", key("X-Sent-From"), plain("nginx-ingress-controller")),
		d("proxy_set_header", key("X-Real-IP"), key("$remote_addr")), d("proxy_set_header", key("X-Forwarded-For"), key("$remote_addr")),
		d("proxy_set_header", key("X-Scheme"), key("$switchyard_scheme")), d("proxy_set_header", key("Host"), key("$proxy_host")),
		d("proxy_ssl_server_name", key("on")), d("proxy_http_version", key("1.1")), d("client_max_body_size", key("0")),
	}
	redirect := key("$request_uri")
	if auth.RequestRedirect != "" {
		if to, err := template(auth.RequestRedirect, l, nil); err == nil {
			redirect = to
		}
	}
	inner = append(inner, d("proxy_set_header", key("X-Auth-Request-Redirect"), redirect))
	if auth.Method != "" {
		inner = append(inner, d("proxy_method", literal(auth.Method)))
	}
	for _, h := range auth.SetHeaders {
		if v, err := template(h.Value, l, nil); err == nil {
			inner = append(inner, d("proxy_set_header", plain(h.Name), v))
		}
	}
	inner = append(inner, d("set", key("$switchyard_auth_url"), url), d("proxy_pass", key("$switchyard_auth_url")))
	return block("location", []arg{key("="), key(name)}, inner...)
}

// signIn sends a client that is not known to a page.
func (r *renderer) signIn(l *route.Location, auth *settings.ExternalAuth) []directive {
	if auth.SignIn == "" {
		return nil
	}
	parts, err := templateParts(auth.SignIn, l, nil)
	if err != nil {
		r.problem(l.Ingress, "auth-signin", err.Error())
		return nil
	}
	if auth.RedirectParam != "" && !strings.Contains(auth.SignIn, auth.RedirectParam+"=") {
		separator := "?"
		if strings.Contains(auth.SignIn, "?") {
			separator = "&"
		}
		// The URI is not escaped, which nginx has no function for: a query of its own ends with the first "&".
		parts = append(parts, text(separator+auth.RedirectParam+"="), ofName("switchyard_scheme"), text("://"), ofName("http_host"), ofName("request_uri"))
	}
	name := fmt.Sprintf("@signin_%d", l.Number)
	r.inner = append(r.inner, block("location", []arg{key(name)}, d("return", number(302), value(parts...))))
	return []directive{d("error_page", number(401), key("="), key(name))}
}

// limits returns what bounds the requests of a client. The zones are those of the Ingress.
func (r *renderer) limits(l *route.Location) []directive {
	s := &l.Settings.Limits
	var list []directive
	if s.RPS == 0 && s.RPM == 0 && s.Connections == 0 && s.Rate == 0 {
		return nil
	}
	id := fmt.Sprintf("limit_%d", r.number("limit "+l.Ingress.String()))
	r.limitKey(id, s)
	if s.Connections > 0 {
		r.once(d("limit_conn_zone", key("$"+id), key("zone="+id+"_conn:5m")))
		list = append(list, d("limit_conn", key(id+"_conn"), number(s.Connections)), d("limit_conn_status", number(s.ConnCode)))
	}
	if s.RPS > 0 {
		r.once(d("limit_req_zone", key("$"+id), key("zone="+id+"_rps:5m"), key(fmt.Sprintf("rate=%dr/s", s.RPS))))
		list = append(list, d("limit_req", key("zone="+id+"_rps"), key(fmt.Sprintf("burst=%d", s.RPS*s.BurstMultiplier)), key("nodelay")))
	}
	if s.RPM > 0 {
		r.once(d("limit_req_zone", key("$"+id), key("zone="+id+"_rpm:5m"), key(fmt.Sprintf("rate=%dr/m", s.RPM))))
		list = append(list, d("limit_req", key("zone="+id+"_rpm"), key(fmt.Sprintf("burst=%d", s.RPM*s.BurstMultiplier)), key("nodelay")))
	}
	if s.RPS > 0 || s.RPM > 0 {
		list = append(list, d("limit_req_status", number(s.Code)))
	}
	if s.Rate > 0 {
		list = append(list, d("limit_rate", number(s.Rate)), d("limit_rate_after", number(s.RateAfter)))
	}
	return list
}

// limitKey renders the variable that requests are counted by: the client's address, empty for those without a limit.
func (r *renderer) limitKey(id string, s *settings.Limits) {
	if len(s.Allow) == 0 {
		r.once(block("map", []arg{key("$remote_addr"), key("$" + id)}, d("default", key("$binary_remote_addr"))))
		return
	}
	inner := []directive{d("default", number(1))}
	for _, p := range s.Allow {
		inner = append(inner, d(p.String(), number(0)))
	}
	r.once(block("geo", []arg{key("$" + id + "_counts")}, inner...))
	r.once(block("map", []arg{key("$" + id + "_counts"), key("$" + id)}, d("0", plain("")), d("default", key("$binary_remote_addr"))))
}

// cors returns the answer to other origins. Variables of maps are empty for origins that are not allowed, and so are the headers.
func (r *renderer) cors(l *route.Location) []directive {
	c := l.Settings.CORS
	if c == nil {
		return nil
	}
	id := fmt.Sprintf("cors_%d", r.number("cors "+l.Ingress.String()))
	inner := []directive{d("default", plain(""))}
	for _, o := range c.Origins {
		inner = append(inner, d(string(plain(originPattern(o))), key("$http_origin")))
	}
	r.once(block("map", []arg{key("$http_origin"), key("$" + id)}, inner...))
	r.once(block("map", []arg{key(`"$request_method:$` + id + `"`), key("$" + id + "_preflight")}, d(`"~^OPTIONS:."`, number(1)), d("default", plain(""))))
	list := []directive{d("add_header", key("Access-Control-Allow-Origin"), key("$"+id), key("always")), d("proxy_hide_header", key("Access-Control-Allow-Origin"))}
	header := func(name, suffix, text string) {
		if text == "" {
			return
		}
		v := "$" + id + suffix
		r.once(block("map", []arg{key("$" + id), key(v)}, d(`""`, plain("")), d("default", literal(text))))
		list = append(list, d("add_header", plain(name), key(v), key("always")), d("proxy_hide_header", plain(name)))
	}
	if c.Credentials {
		header("Access-Control-Allow-Credentials", "_credentials", "true")
	}
	header("Access-Control-Expose-Headers", "_expose", c.ExposeHeaders)
	header("Access-Control-Allow-Methods", "_methods", c.Methods)
	header("Access-Control-Allow-Headers", "_headers", c.Headers)
	header("Access-Control-Max-Age", "_age", fmt.Sprint(c.MaxAge))
	return append(list, block("if", []arg{key("($" + id + "_preflight)")}, d("return", number(204))))
}

// originPattern returns the key of a map for an allowed origin.
func originPattern(o settings.Origin) string {
	if o.Any {
		return "~."
	}
	escaped := regexp.QuoteMeta(o.Host)
	if o.Wildcard {
		escaped = `[A-Za-z0-9-]+\.` + escaped
	}
	return "~*^" + regexp.QuoteMeta(o.Scheme+"://") + escaped + "$"
}
