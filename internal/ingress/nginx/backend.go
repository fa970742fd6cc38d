package nginx

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// Keep-alive connections to endpoints (reference 4): nginx's directive counts those of one worker.
const (
	idleConnections = 320
	idleTimeout     = "60s"
	idleRequests    = 10000
)

// group returns the name of the upstream of a backend, as chosen by up. Locations that agree in both share one.
func (r *renderer) group(b *route.Backend, l *route.Location, up *settings.Upstream) (name string, ok bool) {
	pool := r.in.Table.Pool(b)
	if pool == nil || len(pool.Endpoints) == 0 {
		return "", false
	}
	choice, suffix := r.choice(l, up)
	name = fmt.Sprintf("backend_%d%s", b.ID, suffix)
	inner := slices.Clone(choice)
	for _, e := range pool.Endpoints {
		inner = append(inner, d("server", address(e.Addr), key("max_fails=1"), key("fail_timeout=5s")))
	}
	inner = append(inner, d("keepalive", number(idleConnections)), d("keepalive_timeout", key(idleTimeout)), d("keepalive_requests", number(idleRequests)))
	r.add(name, block("upstream", []arg{key(name)}, inner...))
	return name, true
}

func address(a netip.AddrPort) arg { return arg(a.String()) }

// choice returns the directives that say how an endpoint is chosen, and what tells their upstream from others of the backend.
func (r *renderer) choice(l *route.Location, up *settings.Upstream) (choice []directive, suffix string) {
	switch {
	case up.Affinity != nil:
		id := r.affinity(l, up.Affinity)
		return []directive{d("hash", value(ofName(id)), key("consistent"))}, "_" + id
	case up.HashBy != "":
		by, err := template(up.HashBy, l, nil)
		if err != nil {
			r.problem(l.Ingress, "upstream-hash-by", err.Error()+"; requests are balanced by least connections")
			break
		}
		if up.HashSubset > 0 {
			r.problem(l.Ingress, "upstream-hash-by-subset", "nginx has no subsets of endpoints; all of them are hashed to")
		}
		return []directive{d("hash", by, key("consistent"))}, fmt.Sprintf("_hash_%d", r.number(string(by)))
	case up.Balance == settings.RoundRobin:
		return nil, "_rr"
	case up.Balance == settings.EWMA:
		r.problem(l.Ingress, "load-balance", "nginx has no ewma; requests are balanced by least connections")
	}
	return []directive{d("least_conn")}, ""
}

// affinity renders the cookie that keeps a client at its endpoint, and returns the variable to hash by: the cookie's value is
// a random key that is hashed, so adding an endpoint moves some sessions.
func (r *renderer) affinity(l *route.Location, a *settings.Affinity) (id string) {
	id = fmt.Sprintf("affinity_%d", l.Number)
	if !isVariable(a.Cookie) {
		r.problem(l.Ingress, "session-cookie-name", fmt.Sprintf("nginx cannot read a cookie of the name %q; use letters, digits and _. Clients are not kept at an endpoint", a.Cookie))
		r.once(block("map", []arg{key("$request_id"), key("$" + id)}, d("default", key("$request_id"))))
		return id
	}
	if a.Persistent {
		r.problem(l.Ingress, "affinity-mode", "nginx has no persistent affinity: when endpoints come or go, some sessions move")
	}
	if a.ChangeOnFailure {
		r.problem(l.Ingress, "session-cookie-change-on-failure", "nginx goes to another endpoint after a failure, and back with the next request")
	}
	cookie := "$cookie_" + a.Cookie
	r.once(block("map", []arg{key(cookie), key("$" + id)}, d(`""`, key("$request_id")), d("default", key(cookie))))
	r.once(block("map", []arg{key(cookie), key("$" + id + "_set")}, d(`""`, r.cookie(l, a)), d("default", plain(""))))
	return id
}

// cookie returns the value of Set-Cookie.
func (r *renderer) cookie(l *route.Location, a *settings.Affinity) arg {
	path := a.Path
	if path == "" {
		path = l.Path
	}
	rest := ""
	if a.MaxAge > 0 {
		rest += fmt.Sprintf("; Max-Age=%d", a.MaxAge)
	}
	if a.Domain != "" {
		rest += "; Domain=" + a.Domain
	}
	parts := []part{text(a.Cookie + "="), ofName("request_id"), text(rest + "; Path=" + path)}
	switch {
	case a.Secure == nil:
		parts = append(parts, ofName("switchyard_secure"))
	case *a.Secure:
		parts = append(parts, text("; Secure"))
	}
	parts = append(parts, text("; HttpOnly"))
	if a.SameSite != "" {
		parts = append(parts, text("; SameSite="+a.SameSite))
	}
	return value(parts...)
}

// target returns the directives that hand a location's requests to its backend.
func (r *renderer) target(l *route.Location) []directive {
	up := &l.Settings.Upstream
	pass, ok := passDirective[up.Protocol]
	if !ok {
		r.problem(l.Ingress, "backend-protocol", "nginx has no such protocol for backends; requests are answered 503")
		return unavailable()
	}
	scheme := schemes[up.Protocol]
	if l.Canary != nil {
		return r.canary(l, pass, scheme)
	}
	name, list := r.named(l.Backend, l, up)
	if name == "" {
		return r.fallback(l, list)
	}
	return append(list, d(pass, destination(scheme, name)))
}

var (
	passDirective = map[settings.Protocol]string{
		settings.HTTP: "proxy_pass", settings.HTTPS: "proxy_pass", settings.AutoHTTP: "proxy_pass",
		settings.GRPC: "grpc_pass", settings.GRPCS: "grpc_pass", settings.FCGI: "fastcgi_pass",
	}
	schemes = map[settings.Protocol]string{
		settings.HTTP: "http://", settings.HTTPS: "https://", settings.AutoHTTP: "$scheme://", settings.GRPC: "grpc://", settings.GRPCS: "grpcs://",
	}
)

// destination returns the argument of proxy_pass and its like. Both strings are made here.
func destination(scheme, group string) arg { return key(scheme + group) }

// named returns the upstream of a backend, with the directives that it needs; "" with an answer of its own if it has no endpoints.
func (r *renderer) named(b *route.Backend, l *route.Location, up *settings.Upstream) (string, []directive) {
	if pool := r.in.Table.Pool(b); pool != nil && pool.Name != "" {
		return r.external(pool, l)
	}
	name, ok := r.group(b, l, up)
	if !ok {
		return "", unavailable()
	}
	return name, nil
}

// external returns a host of an ExternalName Service. As a variable it is looked up for as long as its records say, and a name
// that does not exist fails its own requests and not the configuration.
func (r *renderer) external(pool *route.Pool, l *route.Location) (string, []directive) {
	if len(r.in.Entry.Resolvers) == 0 {
		r.problem(l.Ingress, "spec.rules", fmt.Sprintf("nginx needs a name server to find %s; /etc/resolv.conf names none", pool.Name))
		return "", unavailable()
	}
	return "$switchyard_external", []directive{d("set", key("$switchyard_external"), literal(fmt.Sprintf("%s:%d", pool.Name, pool.Port)))}
}

// fallback hands the requests of a Service without endpoints to its default-backend, if it has one.
func (r *renderer) fallback(l *route.Location, unavailable []directive) []directive {
	if l.Settings.Errors.Backend == nil || l.Errors == nil {
		return unavailable
	}
	name, ok := r.group(l.Errors, l, &settings.Upstream{})
	if !ok {
		return unavailable
	}
	return append(pageHeaders(l, 503), d("proxy_pass", destination("http://", name)))
}

// unavailable answers as a Service without endpoints does.
func unavailable() []directive { return []directive{d("return", number(503))} }
