package settings

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

func (p *parser) limits() {
	l := &p.out.Limits
	p.number("limit-rps", &l.RPS, 0)
	p.number("limit-rpm", &l.RPM, 0)
	p.number("limit-connections", &l.Connections, 0)
	p.number("limit-burst-multiplier", &l.BurstMultiplier, 1)
	p.networks("limit-allowlist", &l.Allow)
	p.kilobytes("limit-rate", &l.Rate)
	p.kilobytes("limit-rate-after", &l.RateAfter)
}

// kilobytes reads a number of kilobytes, as limit-rate of ingress-nginx is.
func (p *parser) kilobytes(name string, to *int64) {
	var n int
	if p.number(name, &n, 0) {
		*to = int64(n) << 10
	}
}

func (p *parser) proxy() {
	x := &p.out.Proxy
	p.seconds("proxy-connect-timeout", &x.Connect, 1)
	p.seconds("proxy-read-timeout", &x.Read, 1)
	p.seconds("proxy-send-timeout", &x.Send, 1)
	p.size("proxy-body-size", &x.MaxBody)
	p.onOff("proxy-request-buffering", &x.BufferRequest)
	p.size("client-body-buffer-size", &x.BodyBuffer)
	p.onOff("proxy-buffering", &x.BufferResponse)
	p.size("proxy-buffer-size", &x.BufferSize)
	p.number("proxy-buffers-number", &x.Buffers, 2)
	p.size("proxy-max-temp-file-size", &x.MaxTempFile)
	if v, ok := p.get("proxy-http-version"); ok {
		x.HTTP10 = strings.TrimSpace(v) == "1.0"
	}
	p.text("connection-proxy-header", &x.ConnectionHeader)
	if v, ok := p.get("proxy-next-upstream"); ok {
		nonIdempotent := x.Next.On & NextNonIdempotent
		x.Next.On, x.Next.Status = parseNext(v)
		x.Next.On |= nonIdempotent // retry-non-idempotent of the ConfigMap adds it to every list
	}
	p.number("proxy-next-upstream-tries", &x.Next.Tries, 0)
	p.seconds("proxy-next-upstream-timeout", &x.Next.Timeout, 0)
}

// parseNext reads the failures of proxy_next_upstream, which are valid.
func parseNext(value string) (NextCondition, []int) {
	var on NextCondition
	var status []int
	for _, word := range strings.Fields(value) {
		switch word {
		case "error":
			on |= NextError
		case "timeout":
			on |= NextTimeout
		case "invalid_header":
			on |= NextInvalidHeader
		case "non_idempotent":
			on |= NextNonIdempotent
		case "off":
			on |= NextOff
		default:
			if n, err := strconv.Atoi(strings.TrimPrefix(word, "http_")); err == nil {
				status = append(status, n)
			}
		}
	}
	return on, status
}

// responses reads what is changed in responses.
func (p *parser) responses() {
	x := &p.out.Proxy
	p.text("proxy-redirect-from", &x.RedirectFrom)
	p.text("proxy-redirect-to", &x.RedirectTo)
	x.RedirectOff = x.RedirectFrom == "off" || x.RedirectFrom != "default" && x.RedirectTo == "off"
	p.replacement("proxy-cookie-domain", &x.CookieDomain)
	p.replacement("proxy-cookie-path", &x.CookiePath)
	if ref, ok := p.reference("custom-headers", true); ok {
		allowed := p.env.Global.Policy.ResponseHeaders
		if allowed == nil {
			allowed = []string{}
		}
		p.out.Headers = p.headersOf("custom-headers", ref, allowed)
	}
}

// replacement reads "from to", or "off".
func (p *parser) replacement(name string, to *[]Replacement) {
	v, ok := p.get(name)
	if !ok {
		return
	}
	words := strings.Fields(v)
	switch {
	case len(words) == 1 && words[0] == "off":
		*to = nil
	case len(words) == 2:
		*to = []Replacement{{words[0], words[1]}}
	default:
		p.problem(Lost, ReasonInvalid, name, `it has to be "off" or two words, what is replaced and by what, not %q; the default counts`, shorten(v))
	}
}

func (p *parser) upstream() {
	u := &p.out.Upstream
	if v, ok := p.get("backend-protocol"); ok {
		u.Protocol = map[string]Protocol{
			"HTTP": HTTP, "HTTPS": HTTPS, "AUTO_HTTP": AutoHTTP, "GRPC": GRPC, "GRPCS": GRPCS, "FCGI": FCGI,
		}[strings.ToUpper(strings.TrimSpace(v))]
	}
	p.boolean("service-upstream", &u.Service)
	p.variables("upstream-vhost", &u.VHost, Rejected)
	if v, ok := p.get("load-balance"); ok {
		switch v = strings.TrimSpace(v); v {
		case "round_robin":
			u.Balance = RoundRobin
		case "ewma":
			u.Balance = EWMA
		default:
			p.problem(Noted, ReasonIgnored, "load-balance", "%s has no effect by itself; upstream-hash-by and affinity ask for that", v)
		}
	}
	p.hash(u)
	p.text("fastcgi-index", &u.FastCGI.Index)
	if ref, ok := p.reference("fastcgi-params-configmap", false); ok {
		u.FastCGI.Params = p.headersOf("fastcgi-params-configmap", ref, nil)
	}
	if (u.FastCGI.Index != "" || u.FastCGI.Params != nil) && u.Protocol != FCGI {
		p.problem(Noted, ReasonIgnored, "fastcgi-index", "fastcgi-* has no effect without backend-protocol FCGI")
	}
}

func (p *parser) hash(u *Upstream) {
	p.variables("upstream-hash-by", &u.HashBy, Rejected)
	subset, size := u.HashSubset > 0, max(u.HashSubset, 3)
	p.boolean("upstream-hash-by-subset", &subset)
	p.number("upstream-hash-by-subset-size", &size, 1)
	u.HashSubset = 0
	if subset && u.HashBy != "" {
		u.HashSubset = size
	}
}

func (p *parser) affinity() {
	if _, on := p.get("affinity"); !on {
		return
	}
	a := &Affinity{Cookie: "INGRESSCOOKIE"}
	if p.text("session-cookie-name", &a.Cookie) && !isCookieName(a.Cookie) {
		p.problem(Lost, ReasonInvalid, "session-cookie-name", "%q is no name of a cookie; INGRESSCOOKIE counts", shorten(a.Cookie))
		a.Cookie = "INGRESSCOOKIE"
	}
	p.number("session-cookie-max-age", &a.MaxAge, -1<<31)
	p.number("session-cookie-expires", &a.Expires, -1<<31)
	p.text("session-cookie-path", &a.Path)
	p.text("session-cookie-domain", &a.Domain)
	if v, ok := p.get("session-cookie-samesite"); ok {
		a.SameSite = map[string]string{"none": "None", "lax": "Lax", "strict": "Strict"}[strings.ToLower(strings.TrimSpace(v))]
	}
	p.boolean("session-cookie-conditional-samesite-none", &a.ConditionalSameSite)
	p.boolean("session-cookie-change-on-failure", &a.ChangeOnFailure)
	secure := false
	if p.boolean("session-cookie-secure", &secure) && secure {
		a.Secure = &secure
	}
	if v, ok := p.get("affinity-mode"); ok {
		a.Persistent = strings.TrimSpace(v) == "persistent"
	}
	if v, ok := p.get("affinity-canary-behavior"); ok {
		a.LegacyCanary = strings.TrimSpace(v) == "legacy"
	}
	if p.out.Rewrite.Regex && a.Path == "" {
		p.problem(Noted, ReasonIgnored, "affinity", "the path of a pattern is no path of a cookie; set session-cookie-path")
	}
	p.out.Upstream.Affinity = a
}

// isCookieName admits tokens (RFC 6265 4.1.1, RFC 9110 5.6.2) of those letters that the annotation may have.
func isCookieName(s string) bool { return s != "" && !strings.ContainsAny(s, "/: ") }

func (p *parser) canary() {
	on := false
	p.boolean("canary", &on)
	if !on {
		for _, a := range p.valid {
			if strings.HasPrefix(a.Name, "canary-") {
				p.problem(Noted, ReasonIgnored, a.Name, `has no effect without canary: "true"`)
			}
		}
		return
	}
	c := &Canary{Total: 100}
	p.number("canary-weight", &c.Weight, 0)
	if p.number("canary-weight-total", &c.Total, 0) && c.Total < 100 {
		p.problem(Lost, ReasonInvalid, "canary-weight-total", "%d is less than 100, which counts, as in ingress-nginx", c.Total)
		c.Total = 100
	}
	p.text("canary-by-header", &c.Header)
	p.text("canary-by-header-value", &c.HeaderValue)
	p.text("canary-by-cookie", &c.Cookie)
	var pattern string
	if p.text("canary-by-header-pattern", &pattern) && c.HeaderValue == "" {
		re, err := regexp.Compile(pattern)
		if err != nil {
			p.problem(Lost, ReasonPattern, "canary-by-header-pattern", "%s; no value matches until it is mended", err)
			re = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)
		}
		c.Pattern = re
	}
	p.out.Canary = c
}

// knownVariables reports whether a text holds only variables that are provided, or set by the snippet itself.
func knownVariables(text string, own map[string]bool) error {
	_, err := variable.Parse(text, func(name string) bool { return own[name] })
	return err
}
