package settings

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// paths refuses characters of patterns in paths that are no patterns (strict-validate-path-type).
func (p *parser) paths() {
	if !p.env.Global.Policy.StrictPaths {
		return
	}
	for i, rule := range p.ing.Rules {
		for j, path := range rule.Paths {
			if path.Type == model.PathImplementationSpecific || path.Path == "" || table().rules.strictPath.MatchString(path.Path) {
				continue
			}
			p.problems = append(p.problems, Problem{
				Rejected, ReasonPath, "spec.rules[" + strconv.Itoa(i) + "].http.paths[" + strconv.Itoa(j) + "]",
				"path " + strconv.Quote(shorten(path.Path)) + " has characters that pathType " + path.Type.String() +
					" does not admit; use letters, digits, '-', '.', '_' and '/', or pathType ImplementationSpecific " +
					"(or set strict-validate-path-type to false in the ConfigMap)",
			})
		}
	}
}

func (p *parser) rewrite() {
	r := &p.out.Rewrite
	p.variables("rewrite-target", &r.Target, Rejected)
	p.boolean("use-regex", &r.Regex)
	if p.variables("x-forwarded-prefix", &r.ForwardedPrefix, Lost) && r.Target == "" {
		p.problem(Lost, ReasonIgnored, "x-forwarded-prefix", "counts only with rewrite-target, as in ingress-nginx; add one")
	}
	var root string
	if !p.variables("app-root", &root, Lost) {
		return
	}
	u, err := url.ParseRequestURI(root)
	if err != nil || u.IsAbs() {
		p.problem(Lost, ReasonInvalid, "app-root", "it has to be a path like /app, not %q; nothing is redirected", shorten(root))
		return
	}
	r.AppRoot = root
}

func (p *parser) redirect() {
	r := &p.out.Redirect
	p.boolean("ssl-redirect", &r.TLS)
	p.boolean("force-ssl-redirect", &r.TLSAlways)
	p.boolean("preserve-trailing-slash", &r.KeepSlash)
	p.boolean("relative-redirects", &r.Relative)
	p.boolean("from-to-www-redirect", &r.FromToWWW)
	p.boolean("use-port-in-redirects", &r.PortInRedirects)
	if p.redirectTo("temporal-redirect", http.StatusFound, http.StatusTemporaryRedirect) {
		if _, also := p.get("permanent-redirect"); also {
			p.problem(Noted, ReasonIgnored, "permanent-redirect", "has no effect, as temporal-redirect is set too and counts")
		}
		return
	}
	p.redirectTo("permanent-redirect", http.StatusMovedPermanently, http.StatusPermanentRedirect)
}

// redirectTo reads one of the two kinds of redirects. A code that is none of a redirect becomes the usual one.
func (p *parser) redirectTo(name string, code, highest int) bool {
	var to string
	if !p.text(name, &to) {
		return false
	}
	u, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(u.Scheme, "http") {
		p.problem(Lost, ReasonInvalid, name, "it has to be a URL with http or https, not %q; nothing is redirected", shorten(to))
		return false
	}
	p.out.Redirect.To, p.out.Redirect.Code = to, code
	var asked int
	if p.number(name+"-code", &asked, 0) {
		if asked >= 300 && asked <= highest {
			p.out.Redirect.Code = asked
		} else {
			p.problem(Lost, ReasonInvalid, name+"-code", "%d is no code of such a redirect; %d is sent", asked, code)
		}
	}
	return true
}

func (p *parser) access() {
	p.networks("denylist-source-range", &p.out.Access.Deny)
	p.networks("allowlist-source-range", &p.out.Access.Allow)
	if v, ok := p.get("satisfy"); ok {
		p.out.Access.SatisfyAny = strings.TrimSpace(v) == "any"
	}
}

func (p *parser) cors() {
	on := false
	if p.boolean("enable-cors", &on); !on {
		return
	}
	c := &CORS{
		Origins: []Origin{{Any: true}}, Credentials: true, MaxAge: 1728000,
		Methods: "GET, PUT, POST, DELETE, PATCH, OPTIONS",
		Headers: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
	}
	if v, ok := p.get("cors-allow-origin"); ok {
		c.Origins = p.origins(v)
	} else if v, ok := p.ing.Annotations.Get("cors-allow-origin"); ok && strings.TrimSpace(v) != "" {
		c.Origins = nil // a bad list must not admit everybody
	}
	p.text("cors-allow-methods", &c.Methods)
	p.text("cors-allow-headers", &c.Headers)
	p.text("cors-expose-headers", &c.ExposeHeaders)
	p.boolean("cors-allow-credentials", &c.Credentials)
	p.number("cors-max-age", &c.MaxAge, -1)
	p.out.CORS = c
}

// origins reads the list of origins; one that is not valid is left out, as in ingress-nginx.
func (p *parser) origins(value string) []Origin {
	var out []Origin
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		switch scheme, host, ok := strings.Cut(word, "://"); {
		case word == "":
		case word == "*":
			return []Origin{{Any: true}}
		case word == "null":
			out = append(out, Origin{Host: "null"})
		case !ok || scheme == "" || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz") != "":
			p.problem(Lost, ReasonInvalid, "cors-allow-origin", "%q has no scheme, and is left out; write https://%s", shorten(word), shorten(word))
		default:
			rest, wildcard := strings.CutPrefix(host, "*.")
			out = append(out, Origin{Wildcard: wildcard, Scheme: scheme, Host: rest})
		}
	}
	return out
}

func (p *parser) errors() {
	e := &p.out.Errors
	if v, ok := p.get("custom-http-errors"); ok {
		e.Codes = nil
		for word := range strings.SplitSeq(v, ",") {
			if n, err := strconv.Atoi(strings.TrimSpace(word)); err == nil && !slices.Contains(e.Codes, n) {
				e.Codes = append(e.Codes, n)
			}
		}
	}
	var service string
	if p.text("default-backend", &service) {
		e.Backend = &model.Ref{Namespace: p.ing.Ref.Namespace, Name: service}
	}
	p.boolean("disable-proxy-intercept-errors", &e.Off)
}

func (p *parser) mirror() {
	m := &Mirror{Body: true}
	if !p.variables("mirror-target", &m.Target, Lost) {
		return
	}
	fixed, _, _ := strings.Cut(m.Target, "$")
	u, err := url.Parse(fixed)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p.problem(Lost, ReasonInvalid, "mirror-target", "it has to be a URL that begins with a scheme and a host, not %q; nothing is mirrored", shorten(m.Target))
		return
	}
	m.Host = u.Hostname()
	p.variables("mirror-host", &m.Host, Lost)
	p.onOff("mirror-request-body", &m.Body)
	p.out.Mirror = m
}

// host reads what counts for the host as a whole.
func (p *parser) host() {
	p.boolean("ssl-passthrough", &p.out.Passthrough)
	if v, ok := p.get("server-alias"); ok {
		p.aliases(v)
	}
	if v, ok := p.get("ssl-ciphers"); ok {
		p.out.Ciphers = p.ciphers("ssl-ciphers", v)
	}
	access := true
	if p.boolean("enable-access-log", &access); !access {
		p.out.NoAccessLog = true
	}
	if v, ok := p.get("enable-global-auth"); ok {
		on, err := strconv.ParseBool(v)
		p.out.NoGlobalAuth = err == nil && !on
	}
}

// aliases reads names, wildcards and patterns as nginx's server_name does.
func (p *parser) aliases(value string) {
	seen := map[string]bool{}
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		if word == "" || seen[word] {
			continue
		}
		seen[word] = true
		a, err := ParseAlias(word)
		if err != nil {
			reason := ReasonInvalid
			if strings.HasPrefix(word, "~") {
				reason = ReasonPattern
			}
			p.problem(Lost, reason, "server-alias", "%s; this alias has no effect", err)
			continue
		}
		p.out.Aliases = append(p.out.Aliases, a)
	}
	slices.SortFunc(p.out.Aliases, func(a, b Alias) int { return strings.Compare(a.Name, b.Name) })
}
