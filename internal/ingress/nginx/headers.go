package nginx

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// headers renders the fields of the request to the backend, as ingress-nginx sends them (reference 3.9).
func (r *renderer) headers(h *route.Host, l *route.Location) ([]directive, error) {
	host := key("$http_host")
	if vhost := l.Settings.Upstream.VHost; vhost != "" {
		v, err := template(vhost, l, nil)
		if err != nil {
			return nil, fmt.Errorf("upstream-vhost: %w", err)
		}
		host = v
	}
	set := setHeader(l.Settings.Upstream.Protocol)
	if set == "" {
		return r.fastCGI(l)
	}
	connection := key("$switchyard_connection")
	if c := l.Settings.Proxy.ConnectionHeader; c != "" {
		connection = literal(c)
	}
	list := []directive{d(set, key("Host"), host)}
	if set == "proxy_set_header" {
		list = append(list, d(set, key("Upgrade"), key("$http_upgrade")), d(set, key("Connection"), connection))
	}
	for _, h := range r.forwarding() {
		list = append(list, d(set, key(h[0]), key(h[1])))
	}
	prefix := plain("")
	if p := l.Settings.Rewrite.ForwardedPrefix; p != "" && rewrites(l) {
		v, err := template(p, l, nil)
		if err != nil {
			return nil, fmt.Errorf("x-forwarded-prefix: %w", err)
		}
		prefix = v
	}
	list = append(list, d(set, key("Proxy"), plain("")), d(set, key("X-Forwarded-Prefix"), prefix))
	for _, h := range r.clientIdentity(h) {
		list = append(list, d(set, key(h[0]), key(h[1])))
	}
	entry, err := r.entryHeaders(l, set)
	if err != nil {
		return nil, err
	}
	list = append(list, entry...)
	for _, h := range l.Settings.Headers {
		list = append(list, d("add_header", plain(h.Name), literal(h.Value), key("always")))
	}
	if a := l.Settings.Upstream.Affinity; a != nil && isVariable(a.Cookie) {
		list = append(list, d("add_header", key("Set-Cookie"), key(fmt.Sprintf("$affinity_%d_set", l.Number))))
	}
	if r.in.Table.Global.HSTS.On {
		list = append(list, d("add_header", key("Strict-Transport-Security"), key("$switchyard_hsts"), key("always")))
		if h.HasTLS {
			list = append(list, d(hideHeader(set), key("Strict-Transport-Security")))
		}
	}
	return list, nil
}

// entryHeaders renders add-headers, proxy-set-headers and hide-headers of the ConfigMap.
func (r *renderer) entryHeaders(l *route.Location, set string) ([]directive, error) {
	g := r.in.Table.Global
	var list []directive
	for _, h := range g.SetHeaders {
		v, err := template(h.Value, l, nil)
		if err != nil {
			return nil, fmt.Errorf("proxy-set-headers: %w", err)
		}
		list = append(list, d(set, plain(h.Name), v))
	}
	for _, h := range g.AddHeaders {
		v, err := template(h.Value, l, nil)
		if err != nil {
			return nil, fmt.Errorf("add-headers: %w", err)
		}
		list = append(list, d("add_header", plain(h.Name), v, key("always")), d(hideHeader(set), plain(h.Name)))
	}
	for _, name := range g.HideHeaders {
		list = append(list, d(hideHeader(set), plain(name)))
	}
	return list, nil
}

// hideHeader returns the directive that takes a field out of a backend's response, for that which sets one of the request.
func hideHeader(set string) string {
	if set == "grpc_set_header" {
		return "grpc_hide_header"
	}
	return "proxy_hide_header"
}

// setHeader returns the directive that sets a field of the request to the backend.
func setHeader(p settings.Protocol) string {
	switch p {
	case settings.GRPC, settings.GRPCS:
		return "grpc_set_header"
	case settings.FCGI:
		return ""
	}
	return "proxy_set_header"
}

// forwarding returns the fields that tell of the client, all of them constants.
func (r *renderer) forwarding() [][2]string {
	return [][2]string{
		{"X-Request-ID", "$switchyard_request_id"},
		{"X-Real-IP", "$remote_addr"},
		{"X-Forwarded-For", "$switchyard_forwarded_for"},
		{"X-Forwarded-Host", "$switchyard_host"},
		{"X-Forwarded-Port", "$switchyard_port"},
		{"X-Forwarded-Proto", "$switchyard_scheme"},
		{"X-Forwarded-Scheme", "$switchyard_scheme"},
		{"X-Scheme", "$switchyard_scheme"},
		{"X-Original-Forwarded-For", "$http_x_forwarded_for"},
	}
}

// fastCGI renders the parameters of a backend of protocol FCGI (RFC 3875).
func (r *renderer) fastCGI(l *route.Location) ([]directive, error) {
	list := []directive{}
	for _, p := range [][2]string{
		{"QUERY_STRING", "$query_string"},
		{"REQUEST_METHOD", "$request_method"},
		{"CONTENT_TYPE", "$content_type"},
		{"CONTENT_LENGTH", "$content_length"},
		{"SCRIPT_NAME", "$fastcgi_script_name"},
		{"REQUEST_URI", "$request_uri"},
		{"DOCUMENT_URI", "$document_uri"},
		{"SERVER_PROTOCOL", "$server_protocol"},
		{"REQUEST_SCHEME", "$switchyard_scheme"},
		{"GATEWAY_INTERFACE", "CGI/1.1"},
		{"REMOTE_ADDR", "$remote_addr"},
		{"REMOTE_PORT", "$remote_port"},
		{"SERVER_ADDR", "$server_addr"},
		{"SERVER_PORT", "$server_port"},
		{"SERVER_NAME", "$host"},
		{"HTTP_X_REQUEST_ID", "$switchyard_request_id"},
		{"HTTP_PROXY", `""`},
		{"REDIRECT_STATUS", "200"}, // without which PHP refuses to run
	} {
		list = append(list, d("fastcgi_param", key(p[0]), key(p[1])))
	}
	list = append(list, d("fastcgi_param", key("HTTPS"), key("$https"), key("if_not_empty")))
	if index := l.Settings.Upstream.FastCGI.Index; index != "" {
		list = append(list, d("fastcgi_index", literal(index)))
	}
	for _, p := range l.Settings.Upstream.FastCGI.Params {
		v, err := template(p.Value, l, nil)
		if err != nil {
			return nil, fmt.Errorf("fastcgi-params-configmap: %s: %w", p.Name, err)
		}
		list = append(list, d("fastcgi_param", plain(p.Name), v))
	}
	return list, nil
}

// snippet renders the statements of configuration-snippet that are interpreted.
func (r *renderer) snippet(l *route.Location) ([]directive, error) {
	names := map[string]bool{}
	for _, s := range l.Settings.Snippet {
		if s.Op == settings.SetVariable && isVariable(s.Name) {
			names[s.Name] = true
		}
	}
	var list []directive
	for _, s := range l.Settings.Snippet {
		one, err := r.statement(s, l, names)
		if err != nil {
			return nil, fmt.Errorf("configuration-snippet: %w", err)
		}
		list = append(list, one...)
	}
	return list, nil
}

func (r *renderer) statement(s settings.Statement, l *route.Location, names map[string]bool) ([]directive, error) {
	v, err := template(s.Value, l, names)
	if err != nil {
		return nil, err
	}
	var one directive
	switch s.Op {
	case settings.AddHeader:
		one = d("add_header", plain(s.Name), v)
		if s.Always {
			one.args = append(one.args, key("always"))
		}
	case settings.SetResponse:
		one = d("add_header", plain(s.Name), v, key("always"))
		if s.When == nil { // else it would be hidden also where nothing takes its place
			return []directive{one, d("proxy_hide_header", plain(s.Name))}, nil
		}
	case settings.SetHeader, settings.SetRequest:
		one = d("proxy_set_header", plain(s.Name), v)
	case settings.ClearResponse, settings.HideHeader:
		one = d("proxy_hide_header", plain(s.Name))
	case settings.SetMethod:
		one = d("proxy_method", v)
	case settings.SetVariable:
		one = d("set", key("$"+own+s.Name), v)
	case settings.Return:
		one = d("return", number(s.Code))
		if s.Value != "" {
			one.args = append(one.args, v)
		}
	}
	if s.When == nil {
		return []directive{one}, nil
	}
	if s.Op == settings.SetHeader || s.Op == settings.SetRequest || s.Op == settings.ClearResponse || s.Op == settings.HideHeader || s.Op == settings.SetMethod {
		return nil, fmt.Errorf("nginx has no %s inside of if", one.name)
	}
	condition, err := r.condition(s.When, l, names)
	if err != nil {
		return nil, err
	}
	return []directive{block("if", condition, one)}, nil
}

func (r *renderer) condition(c *settings.Condition, l *route.Location, names map[string]bool) ([]arg, error) {
	parts, err := templateParts("${"+c.Variable+"}", l, names)
	if err != nil {
		return nil, err
	}
	p := parts[0]
	if p.variable == "" {
		return nil, fmt.Errorf("nginx cannot compare $%s, which is known beforehand", c.Variable)
	}
	left := "($" + p.variable
	not := ""
	if c.Negate {
		not = "!"
	}
	switch c.Test {
	case settings.TestEqual:
		return []arg{key(left), key(not + "="), arg(string(literal(c.Equal)) + " )")}, nil
	case settings.TestMatch:
		return []arg{key(left), key(not + "~"), arg(string(plain(c.Pattern.String())) + " )")}, nil
	}
	if c.Negate {
		return []arg{key(left), key("="), arg(`"" )`)}, nil
	}
	return []arg{key(left + ")")}, nil
}

// replaced renders answers that come from a default backend instead (custom-http-errors).
func (r *renderer) replaced(l *route.Location) []directive {
	e := &l.Settings.Errors
	if len(e.Codes) == 0 {
		return nil
	}
	backend := l.Errors
	if backend == nil {
		backend = r.in.Table.Default.Locations[len(r.in.Table.Default.Locations)-1].Backend
	}
	name := ""
	if backend != nil {
		name, _ = r.group(backend, l, &settings.Upstream{})
	}
	if name == "" {
		r.problem(l.Ingress, "custom-http-errors", "there is no default backend with endpoints; the backend's own answers are sent")
		return nil
	}
	list := []directive{d("proxy_intercept_errors", onOff(!e.Off))}
	for _, code := range e.Codes {
		at := fmt.Sprintf("@errors_%d_%d", l.Number, code)
		inner := append([]directive{d("internal"), d("proxy_intercept_errors", key("off")), d("proxy_method", key("GET")), d("proxy_pass_request_body", key("off"))},
			pageHeaders(l, code)...)
		inner = append(inner, d("proxy_set_header", key("X-Original-URI"), key("$request_uri")), d("proxy_set_header", key("Host"), key("$http_host")),
			d("proxy_set_header", key("Content-Length"), plain("")), d("rewrite", plain("^"), key("/"), key("break")), d("proxy_pass", destination("http://", name)))
		r.inner = append(r.inner, block("location", []arg{key(at)}, inner...))
		if code == http.StatusUnauthorized || code == http.StatusForbidden { // a page that does not know of X-Code lets nobody in (CVE-2026-24513)
			list = append(list, d("error_page", number(code), key(at)))
		} else {
			list = append(list, d("error_page", number(code), key("="), key(at)))
		}
	}
	return list
}

// pageHeaders returns the fields that tell a default backend what it is to answer for.
func pageHeaders(l *route.Location, code int) []directive {
	list := []directive{
		d("proxy_set_header", key("X-Code"), number(code)), d("proxy_set_header", key("X-Format"), key("$http_accept")),
		d("proxy_set_header", key("X-Request-ID"), key("$switchyard_request_id")),
	}
	for _, h := range [][2]string{
		{"X-Namespace", l.Ingress.Namespace}, {"X-Ingress-Name", l.Ingress.Name}, {"X-Service-Name", serviceName(l)}, {"X-Service-Port", servicePort(l)},
	} {
		list = append(list, d("proxy_set_header", key(h[0]), literal(h[1])))
	}
	return list
}

// mirror renders the copy that goes elsewhere.
func (r *renderer) mirror(l *route.Location) []directive {
	m := l.Settings.Mirror
	if m == nil {
		return nil
	}
	target, err := template(m.Target, l, nil)
	host, hostErr := template(m.Host, l, nil)
	switch {
	case err != nil || hostErr != nil:
		r.problem(l.Ingress, "mirror-target", fmt.Sprintf("%v; nothing is mirrored", cmp.Or(err, hostErr)))
		return nil
	case len(r.in.Entry.Resolvers) == 0 && !addressed(m.Target):
		r.problem(l.Ingress, "mirror-target", "nginx needs a name server to find its host; /etc/resolv.conf names none. Nothing is mirrored")
		return nil
	}
	at := fmt.Sprintf("/_switchyard_mirror_%d", l.Number)
	r.inner = append(r.inner, block("location", []arg{key("="), key(at)},
		d("internal"), d("proxy_set_header", key("Host"), host), d("set", key("$switchyard_mirror"), target), d("proxy_pass", key("$switchyard_mirror"))))
	return []directive{d("mirror", key(at)), d("mirror_request_body", onOff(m.Body))}
}
