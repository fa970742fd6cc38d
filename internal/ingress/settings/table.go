package settings

import "sync"

// specs returns all annotations, in the order of the documentation.
func specs() []Spec { return table().rows }

// annotations is the compiled table.
type annotations struct {
	rows   []Spec
	byName map[string]*Spec // also by alias
	rules  *rules
}

// table returns the one table, which nothing changes.
var table = sync.OnceValue(func() *annotations {
	r := newRules()
	a := &annotations{rules: r, byName: map[string]*Spec{}}
	for _, rows := range [][]Spec{r.access(), r.external(), r.traffic(), r.proxying(), r.backends(), r.hosts()} {
		a.rows = append(a.rows, rows...)
	}
	for i := range a.rows {
		s := &a.rows[i]
		a.byName[s.Name] = s
		if s.Alias != "" {
			a.byName[s.Alias] = s
		}
	}
	return a
})

const (
	oneByOne   = "each request has a connection of its own"
	noSecurity = "requests are not inspected: put a web application firewall before or behind the entry"
	onlyNginx  = "with `--engine=nginx`; the native engine sends responses as backends make them"
	streamed   = "the native engine always sends responses as they come"
)

func (r *rules) access() []Spec {
	return []Spec{
		{Name: "allowlist-source-range", Alias: "whitelist-source-range", Group: "Allowlist", Risk: Medium, valid: isNetworks, invalid: Denied},
		{Name: "denylist-source-range", Group: "Denylist", Risk: Medium, valid: isNetworks, invalid: Denied},
		{Name: "satisfy", Group: "Satisfy", valid: oneOf(false, "any", "all"), invalid: Lost},
		{Name: "auth-realm", Group: "BasicDigestAuth", Risk: Medium, valid: matches(r.basicSpace, false), invalid: Rejected},
		{Name: "auth-secret", Group: "BasicDigestAuth", Risk: Medium, valid: matches(r.basic, true), invalid: Denied},
		{Name: "auth-secret-type", Group: "BasicDigestAuth", valid: oneOf(false, "auth-file", "auth-map"), invalid: Rejected},
		{Name: "auth-type", Group: "BasicDigestAuth", valid: oneOf(false, "basic", "digest"), invalid: Rejected},
		{Name: "auth-tls-secret", Group: "CertificateAuth", Risk: Medium, Host: true, valid: matches(r.basic, true), invalid: Rejected},
		{Name: "auth-tls-verify-client", Group: "CertificateAuth", Risk: Medium, Host: true, valid: oneOf(false, "on", "off", "optional", "optional_no_ca"), invalid: Lost},
		{Name: "auth-tls-verify-depth", Group: "CertificateAuth", Host: true, valid: isInt, invalid: Lost},
		{Name: "auth-tls-error-page", Group: "CertificateAuth", Risk: High, Host: true, valid: matches(r.redirectPage, true), invalid: Rejected},
		{Name: "auth-tls-pass-certificate-to-upstream", Group: "CertificateAuth", Host: true, valid: isBool, invalid: Rejected},
		{Name: "auth-tls-match-cn", Group: "CertificateAuth", Risk: High, Host: true, valid: isCommonName, invalid: Rejected},
		{Name: "enable-cors", Group: "CorsConfig", valid: isBool, invalid: Lost},
		{
			Name: "cors-allow-origin", Group: "CorsConfig", Risk: Medium, Note: "a bad value admits no origin; in ingress-nginx it admits all",
			valid: matches(r.corsOrigin, true), invalid: Lost,
		},
		{Name: "cors-allow-methods", Group: "CorsConfig", Risk: Medium, valid: matches(r.corsMethods, true), invalid: Lost},
		{Name: "cors-allow-headers", Group: "CorsConfig", Risk: Medium, valid: matches(r.headers, true), invalid: Lost},
		{Name: "cors-allow-credentials", Group: "CorsConfig", valid: isBool, invalid: Lost},
		{Name: "cors-expose-headers", Group: "CorsConfig", Risk: Medium, valid: matches(r.corsExpose, true), invalid: Lost},
		{Name: "cors-max-age", Group: "CorsConfig", valid: isInt, invalid: Lost},
		{Name: "enable-modsecurity", Group: "ModSecurity", Verdict: NotHonoured, Note: noSecurity, valid: isBool, invalid: Lost},
		{Name: "enable-owasp-core-rules", Group: "ModSecurity", Verdict: NotHonoured, Note: noSecurity, valid: isBool, invalid: Lost},
		{Name: "modsecurity-snippet", Group: "ModSecurity", Risk: Critical, Verdict: NotHonoured, Note: noSecurity, valid: anything},
		{Name: "modsecurity-transaction-id", Group: "ModSecurity", Risk: High, Verdict: NotHonoured, Note: noSecurity, valid: matches(r.variable, true), invalid: Lost},
	}
}

func (r *rules) external() []Spec {
	return []Spec{
		{Name: "auth-url", Group: "ExternalAuth", Risk: High, valid: matches(r.urlVariables, true), invalid: Rejected},
		{Name: "auth-method", Group: "ExternalAuth", valid: matches(r.methods, true), invalid: Denied},
		{Name: "auth-signin", Group: "ExternalAuth", Risk: High, valid: matches(r.urlVariables, true), invalid: Lost},
		{Name: "auth-signin-redirect-param", Group: "ExternalAuth", Risk: Medium, valid: matches(r.url, true), invalid: Lost},
		{Name: "auth-response-headers", Group: "ExternalAuth", Risk: Medium, valid: matches(r.headers, true), invalid: Denied},
		{
			Name: "auth-request-redirect", Group: "ExternalAuth", Risk: Medium, valid: matches(r.url, true), invalid: Denied,
			Note: "a bad value answers 503; in ingress-nginx it turns the authentication off",
		},
		{
			Name: "auth-always-set-cookie", Group: "ExternalAuth", valid: isBool, invalid: Denied,
			Note: "a bad value answers 503; in ingress-nginx it turns the authentication off",
		},
		{Name: "auth-cache-key", Group: "ExternalAuth", Risk: Medium, valid: matches(r.variable, true), invalid: Lost},
		{
			Name: "auth-cache-duration", Group: "ExternalAuth", Risk: Medium, valid: matches(r.extended, false), invalid: Denied,
			Note: "a bad value answers 503; in ingress-nginx some turn the authentication off",
		},
		{Name: "auth-proxy-set-headers", Group: "ExternalAuth", Risk: Medium, valid: matches(r.basic, true), invalid: Denied},
		{Name: "auth-keepalive", Group: "ExternalAuth", valid: isInt, invalid: Lost},
		{Name: "auth-keepalive-requests", Group: "ExternalAuth", valid: isInt, invalid: Lost},
		{Name: "auth-keepalive-timeout", Group: "ExternalAuth", valid: isInt, invalid: Lost},
		{Name: "auth-keepalive-share-vars", Group: "ExternalAuth", Verdict: Ignored, Note: "variables are not changed by the sub-request", valid: isBool, invalid: Lost},
		{Name: "auth-snippet", Group: "ExternalAuth", Risk: Critical, Note: "the directives below", valid: anything},
		{Name: "enable-global-auth", Group: "EnableGlobalAuth", valid: isBool, invalid: Lost},
	}
}

func (r *rules) traffic() []Spec {
	return []Spec{
		{Name: "canary", Group: "Canary", valid: isBool, invalid: Lost},
		{Name: "canary-by-cookie", Group: "Canary", Risk: Medium, valid: matches(r.basic, true), invalid: Lost},
		{Name: "canary-by-header", Group: "Canary", Risk: Medium, valid: matches(r.basic, true), invalid: Lost},
		{Name: "canary-by-header-pattern", Group: "Canary", Risk: Medium, Note: "patterns of RE2", valid: matches(r.regex, false), invalid: Lost},
		{Name: "canary-by-header-value", Group: "Canary", Risk: Medium, valid: matches(r.basic, true), invalid: Lost},
		{Name: "canary-weight", Group: "Canary", valid: isInt, invalid: Lost},
		{Name: "canary-weight-total", Group: "Canary", valid: isInt, invalid: Lost},
		{Name: "limit-allowlist", Alias: "limit-whitelist", Group: "RateLimit", valid: isNetworks, invalid: Rejected},
		{Name: "limit-burst-multiplier", Group: "RateLimit", valid: isInt, invalid: Lost},
		{Name: "limit-connections", Group: "RateLimit", valid: isInt, invalid: Rejected},
		{Name: "limit-rate", Group: "RateLimit", Note: "kilobytes a second, as in ingress-nginx", valid: isInt, invalid: Lost},
		{Name: "limit-rate-after", Group: "RateLimit", valid: isInt, invalid: Lost},
		{Name: "limit-rpm", Group: "RateLimit", valid: isInt, invalid: Rejected},
		{Name: "limit-rps", Group: "RateLimit", valid: isInt, invalid: Rejected},
		{Name: "mirror-host", Group: "Mirror", Risk: High, valid: r.isName, invalid: Lost},
		{Name: "mirror-request-body", Group: "Mirror", valid: matches(r.onOff, true), invalid: Lost},
		{Name: "mirror-target", Group: "Mirror", Risk: High, valid: r.isName, invalid: Lost},
		{Name: "enable-access-log", Group: "Logs", valid: isBool, invalid: Lost},
		{Name: "enable-rewrite-log", Group: "Logs", Verdict: Ignored, Note: "`ingress routes --explain` shows rewrites", valid: isBool, invalid: Lost},
		{Name: "enable-opentelemetry", Group: "Opentelemetry", Note: onlyNative, valid: isBool, invalid: Lost},
		{Name: "opentelemetry-operation-name", Group: "Opentelemetry", Risk: Medium, Note: onlyNative, valid: matches(r.operation, true), invalid: Rejected},
		{Name: "opentelemetry-trust-incoming-span", Group: "Opentelemetry", Note: onlyNative, valid: isBool, invalid: Lost},
		{Name: "custom-http-errors", Group: "CustomHTTPErrors", valid: matches(r.errorCodes, true), invalid: Rejected},
		{Name: "default-backend", Group: "DefaultBackend", valid: isServiceName, invalid: Rejected},
		{Name: "disable-proxy-intercept-errors", Group: "DisableProxyInterceptErrors", valid: isBool, invalid: Lost},
		{Name: "configuration-snippet", Group: "ConfigurationSnippet", Risk: Critical, Note: "the directives below", valid: anything},
	}
}

func (r *rules) proxying() []Spec {
	return []Spec{
		{Name: "client-body-buffer-size", Group: "ClientBodyBufferSize", valid: matches(r.size, true), invalid: Rejected},
		{Name: "connection-proxy-header", Group: "Connection", valid: oneOf(false, "close", "keep-alive"), invalid: Rejected},
		{Name: "custom-headers", Group: "CustomHeaders", Risk: Medium, Note: "a ConfigMap of another namespace needs allow-cross-namespace-resources", valid: matches(r.basic, true), invalid: Lost},
		{Name: "http2-push-preload", Group: "HTTP2PushPreload", Verdict: Ignored, Note: "browsers no longer accept pushes", valid: isBool, invalid: Rejected},
		{Name: "proxy-body-size", Group: "Proxy", Risk: Medium, valid: matches(r.size, true), invalid: Lost},
		{Name: "proxy-buffer-size", Group: "Proxy", Note: "the native engine takes heads of at least the size that requests may have", valid: matches(r.size, true), invalid: Lost},
		{Name: "proxy-buffering", Group: "Proxy", Note: streamed, valid: matches(r.onOff, true), invalid: Lost},
		{Name: "proxy-buffers-number", Group: "Proxy", Note: streamed, valid: isInt, invalid: Lost},
		{Name: "proxy-busy-buffers-size", Group: "Proxy", Verdict: Ignored, Note: "buffers are given back as they are sent", valid: matches(r.size, true), invalid: Lost},
		{Name: "proxy-connect-timeout", Group: "Proxy", valid: isInt, invalid: Lost},
		{Name: "proxy-cookie-domain", Group: "Proxy", Risk: Medium, valid: matches(r.cookieDomain, false), invalid: Lost},
		{Name: "proxy-cookie-path", Group: "Proxy", Risk: Medium, valid: matches(r.url, true), invalid: Lost},
		{Name: "proxy-http-version", Group: "Proxy", valid: oneOf(false, "1.0", "1.1"), invalid: Lost},
		{Name: "proxy-max-temp-file-size", Group: "Proxy", Note: streamed, valid: matches(r.size, true), invalid: Lost},
		{Name: "proxy-next-upstream", Group: "Proxy", Risk: Medium, valid: matches(r.next, false), invalid: Lost},
		{Name: "proxy-next-upstream-timeout", Group: "Proxy", valid: isInt, invalid: Lost},
		{Name: "proxy-next-upstream-tries", Group: "Proxy", valid: isInt, invalid: Lost},
		{Name: "proxy-read-timeout", Group: "Proxy", valid: isInt, invalid: Lost},
		{Name: "proxy-redirect-from", Group: "Proxy", Risk: Medium, valid: matches(r.url, true), invalid: Lost},
		{Name: "proxy-redirect-to", Group: "Proxy", Risk: Medium, valid: matches(r.url, true), invalid: Lost},
		{Name: "proxy-request-buffering", Group: "Proxy", valid: matches(r.onOff, true), invalid: Lost},
		{Name: "proxy-send-timeout", Group: "Proxy", valid: isInt, invalid: Lost},
		{Name: "app-root", Group: "Rewrite", Risk: Medium, valid: matches(r.capture, false), invalid: Lost},
		{Name: "force-ssl-redirect", Group: "Rewrite", Risk: Medium, valid: isBool, invalid: Lost},
		{Name: "preserve-trailing-slash", Group: "Rewrite", Risk: Medium, valid: isBool, invalid: Lost},
		{Name: "rewrite-target", Group: "Rewrite", Risk: Medium, valid: matches(r.capture, false), invalid: Lost},
		{Name: "ssl-redirect", Group: "Rewrite", valid: isBool, invalid: Lost},
		{Name: "use-regex", Group: "Rewrite", Note: "patterns of RE2: a path with look-around or back-references is refused", valid: isBool, invalid: Lost},
		{Name: "x-forwarded-prefix", Group: "XForwardedPrefix", Risk: Medium, valid: matches(r.capture, true), invalid: Rejected},
	}
}

func (r *rules) backends() []Spec {
	return []Spec{
		{Name: "backend-protocol", Group: "BackendProtocol", Note: "FCGI: " + oneByOne, valid: oneOf(true, "auto_http", "http", "https", "grpc", "grpcs", "fcgi"), invalid: Lost},
		{Name: "fastcgi-index", Group: "FastCGI", Risk: Medium, valid: matches(r.index, true), invalid: Rejected},
		{Name: "fastcgi-params-configmap", Group: "FastCGI", Risk: Medium, valid: matches(r.basic, true), invalid: Rejected},
		{
			Name: "load-balance", Group: "LoadBalancing", Note: "without it, least requests; chash and sticky names count as not set, as upstream-hash-by and affinity ask for them",
			valid: oneOf(false, "round_robin", "chash", "chashsubset", "sticky_balanced", "sticky_persistent", "ewma"), invalid: Rejected,
		},
		{Name: "proxy-ssl-ciphers", Group: "ProxySSL", Risk: Medium, Note: "of TLS 1.2, by the names of OpenSSL that Go has; classes like HIGH count as the default", valid: matches(r.ciphers, true), invalid: Lost},
		{Name: "proxy-ssl-name", Group: "ProxySSL", Risk: High, valid: r.isName, invalid: Lost},
		{Name: "proxy-ssl-protocols", Group: "ProxySSL", valid: matches(r.protocols, true), invalid: Lost},
		{Name: "proxy-ssl-secret", Group: "ProxySSL", Risk: Medium, valid: matches(r.basic, true), invalid: Rejected},
		{Name: "proxy-ssl-server-name", Group: "ProxySSL", valid: matches(r.onOff, true), invalid: Lost},
		{Name: "proxy-ssl-verify", Group: "ProxySSL", Note: "counts without proxy-ssl-secret too: then against the system's authorities", valid: matches(r.onOff, true), invalid: Lost},
		{Name: "proxy-ssl-verify-depth", Group: "ProxySSL", valid: isInt, invalid: Lost},
		{Name: "service-upstream", Group: "ServiceUpstream", valid: isBool, invalid: Lost},
		{Name: "affinity", Group: "SessionAffinity", valid: oneOf(false, "cookie"), invalid: Lost},
		{Name: "affinity-canary-behavior", Group: "SessionAffinity", valid: oneOf(false, "sticky", "legacy"), invalid: Lost},
		{Name: "affinity-mode", Group: "SessionAffinity", Risk: Medium, valid: oneOf(false, "balanced", "persistent"), invalid: Lost},
		{Name: "session-cookie-change-on-failure", Group: "SessionAffinity", valid: isBool, invalid: Lost},
		{Name: "session-cookie-conditional-samesite-none", Group: "SessionAffinity", valid: isBool, invalid: Lost},
		{Name: "session-cookie-domain", Group: "SessionAffinity", Risk: Medium, valid: matches(r.basic, true), invalid: Lost},
		{Name: "session-cookie-expires", Group: "SessionAffinity", Risk: Medium, valid: matches(r.seconds, true), invalid: Lost},
		{Name: "session-cookie-max-age", Group: "SessionAffinity", Risk: Medium, valid: matches(r.seconds, false), invalid: Lost},
		{Name: "session-cookie-name", Group: "SessionAffinity", Risk: Medium, valid: matches(r.basic, true), invalid: Lost},
		{Name: "session-cookie-path", Group: "SessionAffinity", Risk: Medium, valid: matches(r.url, true), invalid: Lost},
		{Name: "session-cookie-samesite", Group: "SessionAffinity", valid: oneOf(true, "none", "lax", "strict"), invalid: Lost},
		{Name: "session-cookie-secure", Group: "SessionAffinity", valid: isBool, invalid: Lost},
		{Name: "upstream-hash-by", Group: "UpstreamHashBy", Risk: High, valid: matches(r.variable, true), invalid: Rejected},
		{Name: "upstream-hash-by-subset", Group: "UpstreamHashBy", valid: isBool, invalid: Rejected},
		{Name: "upstream-hash-by-subset-size", Group: "UpstreamHashBy", valid: isInt, invalid: Rejected},
		{Name: "upstream-vhost", Group: "UpstreamVhost", valid: r.isName, invalid: Rejected},
	}
}

func (r *rules) hosts() []Spec {
	return []Spec{
		{
			Name: "server-alias", Group: "Aliases", Risk: High, Host: true,
			Note: "patterns of RE2", valid: r.isNames, invalid: Rejected,
		},
		{Name: "from-to-www-redirect", Group: "Redirect", valid: isBool, invalid: Rejected},
		{Name: "permanent-redirect", Group: "Redirect", Risk: Medium, valid: matches(r.url, false), invalid: Rejected},
		{Name: "permanent-redirect-code", Group: "Redirect", valid: isInt, invalid: Rejected},
		{Name: "relative-redirects", Group: "Redirect", valid: isBool, invalid: Rejected},
		{Name: "temporal-redirect", Group: "Redirect", Risk: Medium, valid: matches(r.url, false), invalid: Rejected},
		{Name: "temporal-redirect-code", Group: "Redirect", valid: isInt, invalid: Rejected},
		{Name: "use-port-in-redirects", Group: "UsePortInRedirects", valid: isBool, invalid: Lost},
		{Name: "server-snippet", Group: "ServerSnippet", Risk: Critical, Host: true, Note: "the directives below", valid: anything},
		{
			Name: "ssl-ciphers", Group: "SSLCipher", Host: true,
			Note: "of TLS 1.2, by the names of OpenSSL that Go has; classes like HIGH count as the default", valid: matches(r.serverCiphers, true), invalid: Rejected,
		},
		{Name: "ssl-prefer-server-ciphers", Group: "SSLCipher", Host: true, Verdict: Ignored, Note: "the order is that of crypto/tls, by strength and the hardware", valid: isBool, invalid: Lost},
		{Name: "ssl-passthrough", Group: "SSLPassthrough", Host: true, valid: isBool, invalid: Rejected},
		{Name: "stream-snippet", Group: "StreamSnippet", Risk: Critical, Verdict: NotHonoured, Note: "use the tcp-services and udp-services ConfigMaps", valid: anything},
	}
}
