package settings

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
	"github.com/switchyard-net/switchyard/internal/model"
)

// networks reads a list of networks.
func (p *parser) networks(name string, to *[]netip.Prefix) {
	if v, ok := p.get(name); ok {
		list, err := parseNetworks(v)
		if err == nil {
			*to = list
		}
	}
}

// reference reads "name" or "namespace/name" of a Secret or ConfigMap; whole asks for the namespace. One that may not be
// referred to is a problem, and denies.
func (p *parser) reference(name string, whole bool) (model.Ref, bool) {
	v, ok := p.get(name)
	if !ok {
		return model.Ref{}, false
	}
	ref, err := parseRef(strings.ReplaceAll(v, " ", ""), p.ing.Ref.Namespace, whole)
	if err != nil {
		p.problem(Denied, ReasonReference, name, "%s; all paths answer 503 until it is mended", err)
		return model.Ref{}, false
	}
	if ref.Namespace != p.ing.Ref.Namespace && !p.env.Global.Policy.CrossNamespace {
		p.problem(Denied, ReasonReference, name, "%s is in another namespace; all paths answer 503 until it is in %s "+
			"(or allow-cross-namespace-resources is true in the ConfigMap)", ref, p.ing.Ref.Namespace)
		return model.Ref{}, false
	}
	return ref, true
}

func parseRef(value, namespace string, whole bool) (model.Ref, error) {
	first, second, both := strings.Cut(value, "/")
	switch {
	case !both && whole, strings.Contains(second, "/"), first == "", both && second == "":
		return model.Ref{}, fmt.Errorf("it has to be NAMESPACE/NAME, not %q", shorten(value))
	case both:
		return model.Ref{Namespace: first, Name: second}, nil
	}
	return model.Ref{Namespace: namespace, Name: first}, nil
}

func (p *parser) basicAuth() {
	kind, ok := p.get("auth-type")
	if !ok {
		return
	}
	secret, ok := p.reference("auth-secret", false)
	if !ok {
		if _, set := p.get("auth-secret"); !set && Worst(p.problems) < Denied {
			p.problem(Denied, ReasonReference, "auth-type", "needs auth-secret; all paths answer 503 until it names a Secret")
		}
		return
	}
	auth := &BasicAuth{Digest: strings.TrimSpace(kind) == "digest", Secret: secret}
	p.text("auth-realm", &auth.Realm)
	if v, ok := p.get("auth-secret-type"); ok {
		auth.Map = strings.TrimSpace(v) == "auth-map"
	}
	p.out.BasicAuth = auth
}

func (p *parser) externalAuth() {
	a := &ExternalAuth{KeepAliveRequests: 1000, KeepAliveTimeout: time.Minute, RedirectParam: "rd"}
	if !p.variables("auth-url", &a.URL, Denied) {
		return
	}
	host, err := authHost(a.URL)
	if err != nil {
		p.problem(Denied, ReasonInvalid, "auth-url", "%s; all paths answer 503 until it is mended", err)
		return
	}
	p.out.Auth = a
	p.text("auth-method", &a.Method)
	p.variables("auth-signin", &a.SignIn, Lost)
	p.text("auth-signin-redirect-param", &a.RedirectParam)
	p.text("auth-request-redirect", &a.RequestRedirect)
	p.boolean("auth-always-set-cookie", &a.AlwaysSetCookie)
	if v, ok := p.get("auth-response-headers"); ok {
		a.ResponseHeaders = splitList(v)
	}
	if p.variables("auth-cache-key", &a.CacheKey, Lost) {
		p.cacheFor(a)
	}
	if ref, ok := p.reference("auth-proxy-set-headers", false); ok {
		a.SetHeaders = p.headersOf("auth-proxy-set-headers", ref, nil)
	}
	p.keepAlive(a, host)
}

// authHost returns the host of a URL that may hold variables, also in its host.
func authHost(text string) (string, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, "?")
	_, err := url.Parse(text)
	switch {
	case !ok || scheme != "http" && scheme != "https" && scheme != "$scheme":
		return "", fmt.Errorf("it has to be a URL with http or https, not %q", shorten(text))
	case host == "" || strings.Contains(host, "..") || strings.ContainsAny(text, " \t,"):
		return "", fmt.Errorf("%q has no good host", shorten(text))
	case err != nil && !strings.Contains(text, "$"):
		return "", fmt.Errorf("%w", err)
	}
	return host, nil
}

// splitList reads words separated by commas.
func splitList(value string) []string {
	var out []string
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// cacheFor reads how long answers are kept; without auth-cache-duration, 200, 202 and 401 for five minutes.
func (p *parser) cacheFor(a *ExternalAuth) {
	value, ok := p.get("auth-cache-duration")
	if !ok {
		value = "200 202 401 5m"
	}
	keep, err := ParseCacheFor(value)
	if err != nil {
		p.problem(Denied, ReasonInvalid, "auth-cache-duration", "%s; all paths answer 503 until it is mended", err)
		return
	}
	a.CacheFor = keep
}

// ParseCacheFor reads "200 202 5m, 401 30s": status codes and how long an answer with one is kept. Code 0 stands for 200, 301 and
// 302, where none is named, as in nginx's proxy_cache_valid.
func ParseCacheFor(value string) (map[int]time.Duration, error) {
	out := map[int]time.Duration{}
	for part := range strings.SplitSeq(value, ",") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		codes := 0
		for codes < len(words) && len(words[codes]) == 3 && strings.Trim(words[codes], "0123456789") == "" {
			codes++
		}
		if codes == len(words) {
			return nil, fmt.Errorf("%q has no time", shorten(part))
		}
		for _, w := range words[codes:] {
			if strings.Trim(w, "0123456789") == "" {
				return nil, fmt.Errorf("%q is no time like 30s or 5m", shorten(w))
			}
		}
		d, err := duration(words[codes:]...)
		if err != nil {
			return nil, err
		}
		if codes == 0 {
			out[0] = d
		}
		for _, w := range words[:codes] {
			n, err := strconv.Atoi(w)
			if err != nil {
				return nil, fmt.Errorf("%q is no status code", w)
			}
			out[n] = d
		}
	}
	return out, nil
}

func (p *parser) keepAlive(a *ExternalAuth, host string) {
	p.number("auth-keepalive", &a.KeepAlive, 0)
	p.number("auth-keepalive-requests", &a.KeepAliveRequests, 0)
	p.seconds("auth-keepalive-timeout", &a.KeepAliveTimeout, 0)
	if a.KeepAlive > 0 && (strings.Contains(host, "$") || a.KeepAliveRequests == 0 || a.KeepAliveTimeout == 0) {
		p.problem(Lost, ReasonIgnored, "auth-keepalive", "has no effect, as the host of auth-url holds a variable, "+
			"or auth-keepalive-requests or auth-keepalive-timeout is 0")
		a.KeepAlive = 0
	}
}

// headersOf reads header fields from a ConfigMap; allowed names those that may be set, nil for all. Any that is not valid denies.
func (p *parser) headersOf(name string, ref model.Ref, allowed []string) []HeaderEdit {
	data, ok := p.configMap(name, ref)
	if !ok {
		return nil
	}
	var out []HeaderEdit
	for _, field := range slices.Sorted(maps.Keys(data)) {
		value := data[field]
		switch {
		case !isHeaderName(field):
			p.problem(Denied, ReasonReference, name, "ConfigMap %s has key %q, which is no name of a header; all paths answer 503 until it is mended", ref, shorten(field))
		case allowed != nil && !slices.Contains(allowed, field):
			p.problem(Denied, ReasonReference, name, "ConfigMap %s sets header %s, which global-allowed-response-headers does not name; "+
				"all paths answer 503 until it does", ref, field)
		default:
			if err := headerValue(value); err != nil {
				p.problem(Denied, ReasonReference, name, "ConfigMap %s, key %s: %s; all paths answer 503 until it is mended", ref, field, err)
				continue
			}
			out = append(out, HeaderEdit{field, value})
		}
	}
	return out
}

// configMap returns the data of a ConfigMap; one that is not there denies.
func (p *parser) configMap(name string, ref model.Ref) (map[string]string, bool) {
	var m *model.ConfigMap
	if p.env.ConfigMap != nil {
		m = p.env.ConfigMap(ref)
	}
	switch {
	case m == nil:
		p.problem(Denied, ReasonReference, name, "ConfigMap %s was not read yet; all paths answer 503 until it is", ref)
	case m.Problem != "":
		p.problem(Denied, ReasonReference, name, "ConfigMap %s: %s; all paths answer 503 until it is there", ref, m.Problem)
	default:
		return m.Data, true
	}
	return nil, false
}

// isHeaderName admits the letters of RFC 9110's tokens that ingress-nginx admits.
func isHeaderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && !isDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// headerValue checks a value with variables that becomes one of a header field.
func headerValue(value string) error {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("the value has a control character")
		}
	}
	_, err := variable.Parse(value, nil)
	return err
}

func (p *parser) clientTLS() {
	secret, ok := p.reference("auth-tls-secret", true)
	if !ok {
		return
	}
	c := &ClientTLS{Secret: secret, Depth: 1}
	if v, ok := p.get("auth-tls-verify-client"); ok {
		c.Verify = map[string]ClientVerify{
			"on": VerifyOn, "optional": VerifyOptional, "optional_no_ca": VerifyOptionalNoCA, "off": VerifyOff,
		}[strings.TrimSpace(v)]
	}
	p.number("auth-tls-verify-depth", &c.Depth, 1)
	p.text("auth-tls-error-page", &c.ErrorPage)
	p.boolean("auth-tls-pass-certificate-to-upstream", &c.Pass)
	var name string
	if p.text("auth-tls-match-cn", &name) {
		pattern, err := regexp.Compile("CN=" + strings.TrimPrefix(name, "CN="))
		if err != nil {
			p.problem(Rejected, ReasonInvalid, "auth-tls-match-cn", "%s; the Ingress has no effect until it is mended", err)
			return
		}
		c.MatchCN = pattern
	}
	p.out.ClientTLS = c
}

func (p *parser) backendTLS() {
	t := &p.out.BackendTLS
	t.Depth = 1
	t.Secret, _ = p.reference("proxy-ssl-secret", true)
	p.onOff("proxy-ssl-verify", &t.Verify)
	p.onOff("proxy-ssl-server-name", &t.ServerName)
	p.number("proxy-ssl-verify-depth", &t.Depth, 1)
	p.variables("proxy-ssl-name", &t.Name, Lost)
	if v, ok := p.get("proxy-ssl-ciphers"); ok {
		t.Ciphers = p.ciphers("proxy-ssl-ciphers", v)
	}
	if v, ok := p.get("proxy-ssl-protocols"); ok {
		t.MinVersion, t.MaxVersion = tlsVersions(v)
	}
}

// tlsVersions returns the lowest and the highest version of TLS that a list names; 0: none.
func tlsVersions(list string) (lowest, highest uint16) {
	for _, word := range strings.Fields(list) {
		version := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[word]
		if version == 0 {
			continue
		}
		if lowest == 0 || version < lowest {
			lowest = version
		}
		highest = max(highest, version)
	}
	return lowest, highest
}

// ciphers reads a list of OpenSSL's names. What crypto/tls does not have is left out; nil is its default.
func (p *parser) ciphers(name, list string) []uint16 {
	suites, unknown := parseCiphers(list)
	if len(unknown) > 0 {
		p.problem(Lost, ReasonRefused, name, "%s has no meaning in crypto/tls, and is left out; cipher suites of TLS 1.2 count, "+
			"such as ECDHE-RSA-AES128-GCM-SHA256", strings.Join(unknown, ":"))
	}
	return suites
}

// References returns the ConfigMaps that an Ingress names, each once, also those it may not refer to.
func References(ing *model.Ingress) []model.Ref {
	var out []model.Ref
	for _, name := range []string{"custom-headers", "auth-proxy-set-headers", "fastcgi-params-configmap"} {
		value, ok := ing.Annotations.Get(name)
		if !ok {
			continue
		}
		ref, err := parseRef(strings.ReplaceAll(value, " ", ""), ing.Ref.Namespace, false)
		if err == nil && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// GlobalReferences returns the ConfigMaps that the ConfigMap of the entry names.
func GlobalReferences(m *model.ConfigMap) []model.Ref {
	var out []model.Ref
	for _, key := range []string{"add-headers", "proxy-set-headers"} {
		if ref, err := parseRef(strings.TrimSpace(m.Data[key]), m.Ref.Namespace, false); err == nil {
			out = append(out, ref)
		}
	}
	return out
}
