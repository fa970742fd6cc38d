package nginx

import (
	"net/netip"
	"regexp"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// global renders what holds for all servers: limits, the client's address, and the variables that locations use.
func (r *renderer) global() []directive {
	g := r.in.Table.Global
	list := []directive{
		block("geo", []arg{key("$" + dollar)}, d("default", plain("$"))),
		d("server_names_hash_max_size", number(65536)), d("server_names_hash_bucket_size", number(256)),
		d("map_hash_max_size", number(65536)), d("map_hash_bucket_size", number(256)), d("variables_hash_max_size", number(65536)),
		d("variables_hash_bucket_size", number(256)), d("proxy_headers_hash_max_size", number(4096)), d("proxy_headers_hash_bucket_size", number(256)),
		d("server_tokens", onOff(g.ServerTokens)), d("tcp_nopush", key("on")), d("sendfile", key("on")), d("reset_timedout_connection", key("on")),
		d("default_type", key("text/plain")), d("merge_slashes", key("on")), d("recursive_error_pages", key("on")), d("port_in_redirect", key("off")),
	}
	for _, dir := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		list = append(list, d(dir+"_temp_path", plain(r.run("temp-"+dir))))
	}
	list = append(list, r.client(&g.Client)...)
	list = append(list, r.realIP(&g.RealIP)...)
	list = append(list, r.tls(&g.TLS)...)
	list = append(list, r.resolvers()...)
	list = append(list, r.accessLog(&g.Log)...)
	if g.Defaults.Trace.On {
		r.problems = append(r.problems, entryProblem("enable-opentelemetry: "+noSpans+" (with --engine=native it would work)"))
	}
	list = append(list, r.gzip(&g.Gzip)...)
	for _, p := range g.Block.Sources {
		list = append(list, d("deny", prefix(p)))
	}
	return append(list, r.variables()...)
}

func (r *renderer) client(c *settings.Client) []directive {
	return []directive{
		d("keepalive_timeout", duration(c.KeepAlive)), d("keepalive_requests", number(c.KeepAliveRequests)),
		d("client_header_timeout", duration(c.HeaderTimeout)), d("client_body_timeout", duration(c.BodyTimeout)),
		d("large_client_header_buffers", number(max(1, c.HeaderBytes/max(1, c.Line))), number(c.Line)),
		d("underscores_in_headers", onOff(c.Underscores)), d("ignore_invalid_headers", key("on")),
		d("http2_max_concurrent_streams", number(max(1, c.Streams))),
	}
}

// realIP renders whose word about the client's address is believed.
func (r *renderer) realIP(c *settings.RealIP) []directive {
	if !c.ForwardedHeaders && !c.ProxyProtocol {
		return nil
	}
	var list []directive
	trusted := c.Trusted
	if len(trusted) == 0 {
		trusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	for _, p := range trusted {
		list = append(list, d("set_real_ip_from", prefix(p)))
	}
	header := c.Header
	if header == "" {
		header = "X-Forwarded-For"
	}
	from := plain(header)
	if c.ProxyProtocol {
		from = key("proxy_protocol")
	}
	return append(list, d("real_ip_header", from), d("real_ip_recursive", key("on")))
}

func (r *renderer) tls(c *settings.TLS) []directive {
	list := []directive{
		d("ssl_protocols", protocols(c.MinVersion, c.MaxVersion)...), d("ssl_session_tickets", onOff(c.Tickets)),
		d("ssl_session_cache", key("shared:switchyard:10m")), d("ssl_session_timeout", key("10m")), d("ssl_prefer_server_ciphers", key("on")),
	}
	if names := ciphers(c.Ciphers); names != "" {
		list = append(list, d("ssl_ciphers", plain(names)))
	}
	return list
}

func (r *renderer) resolvers() []directive {
	if len(r.in.Entry.Resolvers) == 0 {
		return nil
	}
	var args []arg
	for _, a := range r.in.Entry.Resolvers {
		args = append(args, address(a))
	}
	return []directive{d("resolver", args...), d("resolver_timeout", key("5s"))}
}

// noSpans is why requests are not traced.
const noSpans = "nginx makes no spans; what a client sends as traceparent goes on to the backend"

// accessLog renders the format of the log, which goes to nginx's standard output.
func (r *renderer) accessLog(l *settings.Log) []directive {
	if l.Off {
		return []directive{d("access_log", key("off"))}
	}
	format := key(`'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" ` +
		`$request_length $request_time [$proxy_host] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $switchyard_request_id'`)
	if l.Format != "" {
		if f, ok := logFormat(l.Format); ok {
			format = f
		} else {
			r.problems = append(r.problems, entryProblem("log-format-upstream has a variable that nginx does not have; its own format is used"))
		}
	}
	escape := key("escape=default")
	if l.JSON {
		escape = key("escape=json")
	}
	return []directive{d("log_format", key("switchyard"), escape, format), d("access_log", key("/dev/stdout"), key("switchyard"))}
}

func (r *renderer) gzip(g *settings.Gzip) []directive {
	if !g.On {
		return nil
	}
	list := []directive{d("gzip", key("on")), d("gzip_comp_level", number(g.Level)), d("gzip_min_length", number(g.MinLength)), d("gzip_http_version", key("1.1")), d("gzip_proxied", key("any")), d("gzip_vary", key("on"))}
	if len(g.Types) > 0 {
		var types []arg
		for _, t := range g.Types {
			types = append(types, plain(t))
		}
		list = append(list, d("gzip_types", types...))
	}
	return list
}

// variables renders those of ingress-nginx that nginx has not, and what the client's word counts for.
func (r *renderer) variables() []directive {
	g := r.in.Table.Global
	mapping := func(from, to string, inner ...directive) directive {
		return block("map", []arg{key(from), key(to)}, inner...)
	}
	list := []directive{
		block("geo", []arg{key("$realip_remote_addr"), key("$switchyard_believed")}, believed(&g.RealIP)...),
		mapping(`"$switchyard_believed:$http_x_forwarded_proto"`, "$switchyard_scheme", d(`"~*^1:https(?:,|$)"`, key("https")), d(`"~*^1:http(?:,|$)"`, key("http")),
			d("default", key("$scheme"))),
		mapping(`"$switchyard_believed:$http_x_forwarded_port"`, "$switchyard_port", d(`"~^1:(?<switchyard_given_port>[0-9]+)(?:,|$)"`, key("$switchyard_given_port")),
			d("default", key("$server_port"))),
		mapping(`"$switchyard_believed:$http_x_forwarded_host"`, "$switchyard_host", d(`"~^1:(?<switchyard_given_host>[][A-Za-z0-9._:-]+)(?:,|$)"`, key("$switchyard_given_host")),
			d("default", key("$http_host"))),
		forwardedFor(&g.RealIP),
		mapping("$http_x_request_id", "$switchyard_request_id", d("default", key("$http_x_request_id")), d(`""`, key("$request_id"))),
		mapping("$http_upgrade", "$switchyard_connection", d("default", key("upgrade")), d(`""`, key(`""`))),
		mapping("$switchyard_scheme", "$switchyard_secure", d("https", plain("; Secure")), d("default", plain(""))),
		mapping("$request_uri", "$switchyard_stripped_uri", d("default", key("$request_uri")), d(`"~^(?<switchyard_bare>.*)/$"`, key("$switchyard_bare"))),
		mapping(`"$switchyard_scheme:$uri"`, "$switchyard_to_tls", r.toTLS(g.NoTLSRedirect)...),
	}
	if hsts := g.HSTS.Value(); hsts != "" {
		list = append(list, mapping("$switchyard_scheme", "$switchyard_hsts", d("https", literal(hsts)), d("default", plain(""))))
	}
	return list
}

// believed renders the peers whose word about the client counts.
func believed(c *settings.RealIP) []directive {
	list := []directive{d("default", number(0))}
	if !c.ForwardedHeaders {
		return list
	}
	if len(c.Trusted) == 0 {
		return []directive{d("default", number(1))}
	}
	for _, p := range c.Trusted {
		list = append(list, d(p.String(), number(1)))
	}
	return list
}

// forwardedFor renders X-Forwarded-For: the client's address, or, if the peer is believed and it is asked for, what the peer says and
// the peer.
func forwardedFor(c *settings.RealIP) directive {
	from := []arg{key(`"$switchyard_believed:$http_x_forwarded_for"`), key("$switchyard_forwarded_for")}
	if !c.AppendFor {
		return block("map", from, d("default", key("$remote_addr")))
	}
	return block("map", from, d(`"~^1:."`, key(`"$http_x_forwarded_for, $realip_remote_addr"`)), d("default", key("$remote_addr")))
}

// toTLS renders which requests a redirect to https is for.
func (r *renderer) toTLS(except []string) []directive {
	inner := []directive{d("default", plain(""))}
	for _, path := range except {
		inner = append(inner, d(string(plain("~^http:"+regexp.QuoteMeta(path))), plain("")))
	}
	return append(inner, d(`"~^http:"`, number(1)))
}
