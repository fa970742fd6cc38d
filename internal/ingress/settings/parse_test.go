package settings

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/switchyard-net/switchyard/internal/model"
)

// parseOf parses annotations written "name=value".
func parseOf(g *Global, annotations ...string) (*Settings, []Problem) {
	ing := &model.Ingress{Ref: model.Ref{Namespace: "default", Name: "i"}}
	for _, a := range annotations {
		name, value, _ := strings.Cut(a, "=")
		ing.Annotations = append(ing.Annotations, model.Annotation{Name: name, Value: value})
	}
	slices.SortFunc(ing.Annotations, func(a, b model.Annotation) int { return strings.Compare(a.Name, b.Name) })
	maps := map[string]map[string]string{
		"headers": {"X-Ok": "yes $host"}, "bad-name": {"X Bad": "x"}, "bad-value": {"X-Ok": "a\nb"}, "params": {"SCRIPT_FILENAME": "/app/$uri"},
	}
	return Parse(ing, Env{Global: g, ConfigMap: func(r model.Ref) *model.ConfigMap {
		if data, ok := maps[r.Name]; ok {
			return &model.ConfigMap{Ref: r, Data: data}
		}
		return &model.ConfigMap{Ref: r, Problem: "does not exist"}
	}})
}

var equal = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b *regexp.Regexp) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// open is a configuration that lets everything pass.
func open() *Global {
	g := Default()
	g.Policy = Policy{Risk: Critical, Snippets: true, StrictPaths: true, ResponseHeaders: []string{"X-Ok"}}
	g.Tracing.Host = "collector"
	return g
}

// TestParse has what each group of annotations changes in the default settings. Every annotation that works is in it.
func TestParse(t *testing.T) {
	yes := true
	seen := map[string]bool{}
	for _, c := range parseCases(&yes) {
		for _, a := range strings.Split(c.annotations, "; ") {
			name, _, _ := strings.Cut(a, "=")
			seen[name] = true
		}
		got, problems := parseOf(open(), strings.Split(c.annotations, "; ")...)
		want := open().Defaults
		c.change(&want)
		if diff := cmp.Diff(&want, got, equal); diff != "" {
			t.Errorf("%s: settings (-want +got):\n%s", c.annotations, diff)
		}
		if Worst(problems) != Noted {
			t.Errorf("%s: problems: %v", c.annotations, problems)
		}
	}
	for s := range Specs() {
		if s.Verdict == Works && !seen[s.Name] && !strings.HasSuffix(s.Name, "-snippet") {
			t.Errorf("no case for annotation %s", s.Name)
		}
	}
}

type parseCase struct {
	annotations string
	change      func(*Settings)
}

func parseCases(yes *bool) []parseCase {
	return slices.Concat(locationCases(), authCases(), proxyCases(), upstreamCases(yes))
}

func locationCases() []parseCase {
	return []parseCase{
		{"rewrite-target=/$2; use-regex=true; x-forwarded-prefix=/api", func(s *Settings) {
			s.Rewrite = Rewrite{Target: "/$2", Regex: true, ForwardedPrefix: "/api"}
		}},
		{"app-root=/app", func(s *Settings) { s.Rewrite.AppRoot = "/app" }},
		{"ssl-redirect=false; force-ssl-redirect=true; preserve-trailing-slash=true; relative-redirects=true; use-port-in-redirects=true; from-to-www-redirect=true", func(s *Settings) {
			s.Redirect = Redirect{TLSCode: 308, TLSAlways: true, KeepSlash: true, Relative: true, PortInRedirects: true, FromToWWW: true}
		}},
		{"permanent-redirect=https://a.example.com/x?y=1; permanent-redirect-code=308", func(s *Settings) {
			s.Redirect.To, s.Redirect.Code = "https://a.example.com/x?y=1", 308
		}},
		{"temporal-redirect=https://a.example.com; temporal-redirect-code=307; permanent-redirect=https://b.example.com", func(s *Settings) {
			s.Redirect.To, s.Redirect.Code = "https://a.example.com", 307
		}},
		{"allowlist-source-range=10.0.0.0/8, 192.0.2.1; denylist-source-range=2001:db8::/32; satisfy=any", func(s *Settings) {
			s.Access = Access{
				Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")},
				Deny:  []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}, SatisfyAny: true,
			}
		}},
		{"whitelist-source-range=10.0.0.0/8", func(s *Settings) { s.Access.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }},
		{"enable-cors=true; cors-allow-origin=https://*.a.example.com:8443, http://b.example.com, null, app://c; cors-allow-methods=GET; cors-allow-headers=X-A; cors-expose-headers=*; cors-allow-credentials=false; cors-max-age=5", func(s *Settings) {
			s.CORS = &CORS{
				Origins: []Origin{{Wildcard: true, Scheme: "https", Host: "a.example.com:8443"}, {Scheme: "http", Host: "b.example.com"}, {Host: "null"}, {Scheme: "app", Host: "c"}},
				Methods: "GET", Headers: "X-A", ExposeHeaders: "*", MaxAge: 5,
			}
		}},
		{"enable-cors=true; cors-allow-origin=*", func(s *Settings) {
			s.CORS = &CORS{
				Origins: []Origin{{Any: true}}, Methods: "GET, PUT, POST, DELETE, PATCH, OPTIONS", Credentials: true, MaxAge: 1728000,
				Headers: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
			}
		}},
		{"custom-http-errors=404,503, 503; default-backend=errors; disable-proxy-intercept-errors=true", func(s *Settings) {
			s.Errors = Errors{Codes: []int{404, 503}, Backend: &model.Ref{Namespace: "default", Name: "errors"}, Off: true}
		}},
		{"mirror-target=https://m.example.com$request_uri; mirror-request-body=off", func(s *Settings) {
			s.Mirror = &Mirror{Target: "https://m.example.com$request_uri", Host: "m.example.com"}
		}},
		{"mirror-target=http://m.example.com/; mirror-host=h.example.com", func(s *Settings) {
			s.Mirror = &Mirror{Target: "http://m.example.com/", Host: "h.example.com", Body: true}
		}},
		{"server-alias=b.example.com,a.example.com,b.example.com; ssl-passthrough=true; ssl-ciphers=ECDHE-RSA-AES128-GCM-SHA256", func(s *Settings) {
			s.Aliases = []Alias{{Name: "a.example.com"}, {Name: "b.example.com"}}
			s.Passthrough, s.Ciphers = true, []uint16{0xc02f}
		}},
		{"enable-access-log=false; enable-global-auth=false", func(s *Settings) {
			s.NoAccessLog, s.NoGlobalAuth = true, true
		}},
		{"enable-opentelemetry=true; opentelemetry-operation-name=op-1; opentelemetry-trust-incoming-span=false", func(s *Settings) {
			s.Trace = Trace{On: true, Untrusted: true, Operation: "op-1"}
		}},
	}
}

func authCases() []parseCase {
	return []parseCase{
		{"auth-type=basic; auth-secret=users; auth-realm=Please log in; auth-secret-type=auth-map", func(s *Settings) {
			s.BasicAuth = &BasicAuth{Realm: "Please log in", Secret: model.Ref{Namespace: "default", Name: "users"}, Map: true}
		}},
		{"auth-type=digest; auth-secret=default/users", func(s *Settings) {
			s.BasicAuth = &BasicAuth{Digest: true, Secret: model.Ref{Namespace: "default", Name: "users"}}
		}},
		{"auth-url=https://auth.example.com/check?u=$request_uri; auth-method=POST; auth-signin=https://auth.example.com/in; auth-signin-redirect-param=back; auth-response-headers=X-User, X-Mail; auth-request-redirect=https://x/; auth-always-set-cookie=true; auth-cache-key=$http_authorization; auth-cache-duration=200 5m, 401 1h 30m; auth-proxy-set-headers=default/headers; auth-keepalive=4; auth-keepalive-requests=10; auth-keepalive-timeout=5", func(s *Settings) {
			s.Auth = &ExternalAuth{
				URL: "https://auth.example.com/check?u=$request_uri", Method: "POST", SignIn: "https://auth.example.com/in", RedirectParam: "back",
				ResponseHeaders: []string{"X-User", "X-Mail"}, RequestRedirect: "https://x/", AlwaysSetCookie: true, CacheKey: "$http_authorization",
				CacheFor: map[int]time.Duration{200: 5 * time.Minute, 401: 90 * time.Minute}, SetHeaders: []HeaderEdit{{"X-Ok", "yes $host"}},
				KeepAlive: 4, KeepAliveRequests: 10, KeepAliveTimeout: 5 * time.Second,
			}
		}},
		{"auth-url=http://auth.default.svc/check", func(s *Settings) {
			s.Auth = &ExternalAuth{URL: "http://auth.default.svc/check", RedirectParam: "rd", KeepAliveRequests: 1000, KeepAliveTimeout: time.Minute}
		}},
		{"auth-tls-secret=default/ca; auth-tls-verify-client=optional_no_ca; auth-tls-verify-depth=3; auth-tls-error-page=https://e.example.com/x; auth-tls-pass-certificate-to-upstream=true; auth-tls-match-cn=CN=(a|b)", func(s *Settings) {
			s.ClientTLS = &ClientTLS{
				Secret: model.Ref{Namespace: "default", Name: "ca"}, Verify: VerifyOptionalNoCA, Depth: 3, ErrorPage: "https://e.example.com/x", Pass: true,
				MatchCN: regexp.MustCompile("CN=(a|b)"),
			}
		}},
		{"limit-rps=5; limit-rpm=100; limit-connections=3; limit-burst-multiplier=2; limit-allowlist=10.0.0.0/8; limit-rate=10; limit-rate-after=20", func(s *Settings) {
			s.Limits = Limits{
				RPS: 5, RPM: 100, Connections: 3, BurstMultiplier: 2, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				Rate: 10 << 10, RateAfter: 20 << 10, Code: 503, ConnCode: 503,
			}
		}},
	}
}

func proxyCases() []parseCase {
	return []parseCase{
		{"proxy-connect-timeout=1; proxy-read-timeout=3600; proxy-send-timeout=2; proxy-body-size=8 m; proxy-request-buffering=off; client-body-buffer-size=1k; proxy-buffering=on; proxy-buffer-size=16K; proxy-buffers-number=8; proxy-max-temp-file-size=0; proxy-http-version=1.0; connection-proxy-header=keep-alive", func(s *Settings) {
			p := &s.Proxy
			p.Connect, p.Read, p.Send, p.MaxBody = time.Second, time.Hour, 2*time.Second, 8<<20
			p.BufferRequest, p.BodyBuffer, p.BufferResponse, p.BufferSize, p.Buffers, p.MaxTempFile = false, 1<<10, true, 16<<10, 8, 0
			p.HTTP10, p.ConnectionHeader = true, "keep-alive"
		}},
		{"proxy-body-size=0", func(s *Settings) { s.Proxy.MaxBody = 0 }},
		{"proxy-next-upstream=error http_502 http_429 non_idempotent; proxy-next-upstream-tries=5; proxy-next-upstream-timeout=7", func(s *Settings) {
			s.Proxy.Next = NextUpstream{On: NextError | NextNonIdempotent, Status: []int{502, 429}, Tries: 5, Timeout: 7 * time.Second}
		}},
		{"proxy-redirect-from=http://a/; proxy-redirect-to=https://b/; proxy-cookie-domain=a.example.com b.example.com; proxy-cookie-path=/one /two", func(s *Settings) {
			s.Proxy.RedirectFrom, s.Proxy.RedirectTo, s.Proxy.RedirectOff = "http://a/", "https://b/", false
			s.Proxy.CookieDomain, s.Proxy.CookiePath = []Replacement{{"a.example.com", "b.example.com"}}, []Replacement{{"/one", "/two"}}
		}},
		{"proxy-redirect-from=default", func(s *Settings) { s.Proxy.RedirectFrom, s.Proxy.RedirectOff = "default", false }},
		{"custom-headers=default/headers", func(s *Settings) { s.Headers = []HeaderEdit{{"X-Ok", "yes $host"}} }},
	}
}

func upstreamCases(yes *bool) []parseCase {
	return []parseCase{
		{"backend-protocol=grpcs; service-upstream=true; upstream-vhost=h.example.com; load-balance=ewma", func(s *Settings) {
			s.Upstream = Upstream{Protocol: GRPCS, Service: true, VHost: "h.example.com", Balance: EWMA}
		}},
		{"load-balance=round_robin", func(s *Settings) { s.Upstream.Balance = RoundRobin }},
		{"upstream-hash-by=$request_uri; upstream-hash-by-subset=true; upstream-hash-by-subset-size=4", func(s *Settings) {
			s.Upstream.HashBy, s.Upstream.HashSubset = "$request_uri", 4
		}},
		{"backend-protocol=FCGI; fastcgi-index=index.php; fastcgi-params-configmap=params", func(s *Settings) {
			s.Upstream.Protocol, s.Upstream.FastCGI = FCGI, FastCGI{Index: "index.php", Params: []HeaderEdit{{"SCRIPT_FILENAME", "/app/$uri"}}}
		}},
		{"affinity=cookie; session-cookie-name=route; session-cookie-max-age=60; session-cookie-expires=61; session-cookie-path=/; session-cookie-domain=example.com; session-cookie-samesite=Lax; session-cookie-conditional-samesite-none=true; session-cookie-change-on-failure=true; session-cookie-secure=true; affinity-mode=persistent; affinity-canary-behavior=legacy", func(s *Settings) {
			s.Upstream.Affinity = &Affinity{
				Cookie: "route", MaxAge: 60, Expires: 61, Path: "/", Domain: "example.com", SameSite: "Lax", ConditionalSameSite: true,
				ChangeOnFailure: true, Secure: yes, Persistent: true, LegacyCanary: true,
			}
		}},
		{"affinity=cookie; session-cookie-secure=false", func(s *Settings) { s.Upstream.Affinity = &Affinity{Cookie: "INGRESSCOOKIE"} }},
		{"proxy-ssl-secret=default/tls; proxy-ssl-verify=on; proxy-ssl-verify-depth=2; proxy-ssl-name=n.example.com; proxy-ssl-server-name=on; proxy-ssl-protocols=TLSv1.3 TLSv1.2; proxy-ssl-ciphers=ECDHE-ECDSA-AES256-GCM-SHA384", func(s *Settings) {
			s.BackendTLS = BackendTLS{
				Secret: model.Ref{Namespace: "default", Name: "tls"}, Verify: true, Depth: 2, Name: "n.example.com", ServerName: true,
				MinVersion: 0x303, MaxVersion: 0x304, Ciphers: []uint16{0xc02c},
			}
		}},
		{"canary=true; canary-weight=10; canary-weight-total=1000; canary-by-header=X-C; canary-by-header-pattern=^a+$; canary-by-cookie=c", func(s *Settings) {
			s.Canary = &Canary{Weight: 10, Total: 1000, Header: "X-C", Pattern: regexp.MustCompile("^a+$"), Cookie: "c"}
		}},
		{"canary=true; canary-by-header=X-C; canary-by-header-value=v; canary-by-header-pattern=ignored", func(s *Settings) {
			s.Canary = &Canary{Total: 100, Header: "X-C", HeaderValue: "v"}
		}},
	}
}

// TestBadValues has a bad value for each annotation that has one, and what becomes of it.
func TestBadValues(t *testing.T) {
	bad := map[string]string{"auth-tls-match-cn": "x", "proxy-cookie-domain": "a", "default-backend": "Not_A_Service"}
	for s := range Specs() {
		if s.valid("\x00") == nil {
			continue // a snippet: its directives are checked
		}
		value, ok := bad[s.Name]
		if !ok {
			value = "no{such}\"value;"
		}
		got, problems := parseOf(open(), s.Name+"="+value)
		if len(problems) == 0 || problems[0].Reason != ReasonInvalid || problems[0].Field != Prefix+s.Name || Worst(problems) < s.invalid {
			t.Errorf("%s=%s: problems %v, want effect %s", s.Name, value, problems, s.invalid)
		}
		want := open().Defaults
		if diff := cmp.Diff(&want, got, equal); diff != "" {
			t.Errorf("%s=%s has changed settings (-default +got):\n%s", s.Name, value, diff)
		}
	}
}

// TestEffects has annotations, and how grave what is wrong with them is.
func TestEffects(t *testing.T) {
	for _, c := range []struct {
		annotations string
		effect      Effect
		reason      string
	}{
		{"configuration-snippet=return 403;", Rejected, ReasonRisky},
		{"auth-url=ftp://x", Denied, ReasonInvalid},
		{"auth-url=http://$nope/", Denied, ReasonInvalid},
		{"auth-url=http://a..b/", Denied, ReasonInvalid},
		{"auth-url=http://x/; auth-method=get", Denied, ReasonInvalid},
		{"auth-url=http://x/; auth-request-redirect={", Denied, ReasonInvalid},
		{"auth-url=http://x/; auth-cache-key=$host; auth-cache-duration=200", Denied, ReasonInvalid},
		{"auth-url=http://x/; auth-proxy-set-headers=missing", Denied, ReasonReference},
		{"auth-url=http://x/; auth-proxy-set-headers=bad-name", Denied, ReasonReference},
		{"auth-url=http://x/; auth-proxy-set-headers=other/headers", Denied, ReasonReference},
		{"auth-url=http://x/; auth-signin=http://$nope/", Lost, ReasonInvalid},
		{"custom-headers=default/headers", Denied, ReasonReference},
		{"custom-headers=headers", Denied, ReasonReference},
		{"auth-type=basic", Denied, ReasonReference},
		{"auth-type=basic; auth-secret=", Denied, ReasonInvalid},
		{"auth-type=basic; auth-secret=kube-system/users", Denied, ReasonReference},
		{"auth-tls-secret=ca", Denied, ReasonReference},
		{"proxy-ssl-secret=other/tls", Denied, ReasonReference},
		{"allowlist-source-range=", Denied, ReasonInvalid},
		{"allowlist-source-range=fe80::1%eth0", Denied, ReasonInvalid},
		{"upstream-vhost=$nope", Rejected, ReasonInvalid},
		{"proxy-read-timeout=60s", Lost, ReasonInvalid},
		{"proxy-read-timeout=-1", Lost, ReasonInvalid},
		{"proxy-body-size=8m\n", Lost, ReasonInvalid},
		{"permanent-redirect=ftp://x", Lost, ReasonInvalid},
		{"permanent-redirect=https://x/$host", Rejected, ReasonInvalid},
		{"cors-allow-origin=a.example.com; enable-cors=true", Lost, ReasonInvalid},
		{"enable-modsecurity=true", Lost, ReasonRefused},
		{"enable-modsecurity=false", Noted, ""},
		{"proxy-busy-buffers-size=8k", Noted, ReasonIgnored},
		{"canary-weight=5", Noted, ReasonIgnored},
		{"canary=true; canary-by-header=a; canary-by-header-pattern=(?=a)", Lost, ReasonPattern},
		{"rewrite-traget=/", Lost, ReasonUnknown},
		{"enable-websockets=true", Noted, ReasonUnknown},
		{"x-forwarded-prefix=/a", Lost, ReasonIgnored},
		{"whitelist-source-range=10.0.0.0/8; allowlist-source-range=10.0.0.0/8", Noted, ReasonIgnored},
		{"server-alias=~(?=x)", Lost, ReasonPattern},
		{"server-alias=a..b", Lost, ReasonInvalid},
		{"ssl-ciphers=HIGH:!aNULL", Lost, ReasonRefused},
		{"other.example.com/annotation=x", Noted, ""},
		{"cors-allow-origin=https://a.example.com;https://b.example.com; enable-cors=true", Lost, ReasonInvalid},
	} {
		_, problems := parseOf(Default(), strings.Split(c.annotations, "; ")...)
		worst := Problem{}
		for _, p := range problems {
			if p.Effect >= worst.Effect {
				worst = p
			}
		}
		if Worst(problems) != c.effect || worst.Reason != c.reason {
			t.Errorf("%s: %s %q, want %s %q: %v", c.annotations, worst.Effect, worst.Reason, c.effect, c.reason, problems)
		}
	}
}

// TestBadOriginAdmitsNone: in ingress-nginx a list of origins that is not valid admits all of them.
func TestBadOriginAdmitsNone(t *testing.T) {
	s, _ := parseOf(Default(), "enable-cors=true", "cors-allow-origin=https://a.example.com\"")
	if s.CORS == nil || len(s.CORS.Origins) != 0 {
		t.Errorf("CORS = %+v, want no origin", s.CORS)
	}
}

func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{
		"rewrite-traget": "rewrite-target", "proxy-bodysize": "proxy-body-size", "proxy-read-timeouts": "proxy-read-timeout", "enable-websockets": "",
		"secure-backends": "",
	} {
		if got := nearest(name); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzParse holds for all annotations: Parse returns, denies or rejects what it cannot honour of authentication, and its settings
// hold no line end.
func FuzzParse(f *testing.F) {
	names := slices.Sorted(maps.Keys(table().byName))
	for i := range names {
		f.Add(uint16(i), "true", uint16(i+1), "on", false)
	}
	f.Add(uint16(0), "a\nb", uint16(9), "$host;}", true)
	f.Fuzz(func(t *testing.T, first uint16, value string, second uint16, other string, risky bool) {
		g := Default()
		if risky {
			g = open()
		}
		a, b := names[int(first)%len(names)], names[int(second)%len(names)]
		ing := &model.Ingress{Ref: model.Ref{Namespace: "default", Name: "i"}, Annotations: model.Annotations{{Name: a, Value: value}}}
		if b != a {
			ing.Annotations = append(ing.Annotations, model.Annotation{Name: b, Value: other})
		}
		s, problems := Parse(ing, Env{Global: g})
		if asksAuth := a == "auth-url" || b == "auth-url"; asksAuth && s.Auth == nil && Worst(problems) < Denied && strings.TrimSpace(value) != "" && strings.TrimSpace(other) != "" {
			t.Fatalf("%s=%q %s=%q: authentication is asked for, and neither there nor denied: %v", a, value, b, other, problems)
		}
		if s.Auth != nil && strings.ContainsAny(s.Auth.URL+s.Auth.SignIn+s.Auth.Method, "\r\n\x00") || strings.ContainsAny(s.Rewrite.Target+s.Upstream.VHost, "\r\n\x00") {
			t.Fatalf("%s=%q %s=%q: a line end in %+v", a, value, b, other, s)
		}
	})
}
