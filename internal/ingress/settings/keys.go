package settings

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GlobalKey is a key of ingress-nginx's ConfigMap: a row of the table in docs/ingress-nginx.md.
type GlobalKey struct {
	Name    string
	Verdict Verdict
	Note    string
}

// GlobalKeys returns the keys in the order of their names.
func GlobalKeys() iter.Seq[GlobalKey] {
	keys := globalKeys()
	return func(yield func(GlobalKey) bool) {
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			if k := keys[name]; !yield(GlobalKey{name, k.verdict, k.note}) {
				return
			}
		}
	}
}

// globalKey is how a key is read.
type globalKey struct {
	verdict    Verdict
	note       string
	annotation string // whose default it is, or whose parser reads it
	read       func(*globalReader, string) error
}

// globalKeys returns all keys by name.
func globalKeys() map[string]globalKey {
	out := map[string]globalKey{}
	for _, name := range strings.Fields(annotationKeys) {
		out[name] = globalKey{annotation: name}
	}
	for _, name := range strings.Fields(globalAuthKeys) {
		out["global-"+name] = globalKey{annotation: name}
	}
	for _, name := range []string{"add-headers", "proxy-set-headers"} {
		out[name] = globalKey{read: func(*globalReader, string) error { return nil }}
	}
	maps.Copy(out, policyKeys())
	maps.Copy(out, clientKeys())
	maps.Copy(out, serverKeys())
	maps.Copy(out, trafficKeys())
	maps.Copy(out, tracingKeys())
	for note, names := range ignoredKeys() {
		for _, name := range strings.Fields(names) {
			out[name] = globalKey{verdict: Ignored, note: note}
		}
	}
	for note, names := range refusedKeys() {
		for _, name := range strings.Fields(names) {
			out[name] = globalKey{verdict: NotHonoured, note: note}
		}
	}
	return out
}

// The keys that set the default of the annotation of their name.
const annotationKeys = `app-root client-body-buffer-size custom-http-errors denylist-source-range
	disable-proxy-intercept-errors force-ssl-redirect limit-rate limit-rate-after load-balance preserve-trailing-slash
	proxy-body-size proxy-buffer-size proxy-buffering proxy-buffers-number proxy-connect-timeout proxy-cookie-domain
	proxy-cookie-path proxy-http-version proxy-max-temp-file-size proxy-next-upstream proxy-next-upstream-timeout
	proxy-next-upstream-tries proxy-read-timeout proxy-redirect-from proxy-redirect-to proxy-request-buffering proxy-send-timeout
	relative-redirects service-upstream ssl-redirect upstream-hash-by upstream-hash-by-subset upstream-hash-by-subset-size
	use-port-in-redirects whitelist-source-range`

// The annotations that have a namesake with "global-" in front.
const globalAuthKeys = `auth-url auth-method auth-signin auth-signin-redirect-param auth-response-headers auth-request-redirect
	auth-snippet auth-cache-key auth-cache-duration auth-always-set-cookie`

// The makers of readers.

func toggle(at func(*Global) *bool) globalKey {
	return globalKey{read: func(r *globalReader, v string) error { return r.boolean(at(r.global), v) }}
}

func count(least int, at func(*Global) *int) globalKey {
	return globalKey{read: func(r *globalReader, v string) error { return r.number(at(r.global), v, least) }}
}

func span(at func(*Global) *time.Duration) globalKey {
	return globalKey{read: func(r *globalReader, v string) error { return r.time(at(r.global), v) }}
}

func list(at func(*Global) *[]string) globalKey {
	return globalKey{read: func(r *globalReader, v string) error { *at(r.global) = splitList(v); return nil }}
}

func word(at func(*Global) *string) globalKey {
	return globalKey{read: func(r *globalReader, v string) error { *at(r.global) = v; return nil }}
}

func policyKeys() map[string]globalKey {
	return map[string]globalKey{
		"allow-cross-namespace-resources": toggle(func(g *Global) *bool { return &g.Policy.CrossNamespace }),
		"allow-snippet-annotations":       toggle(func(g *Global) *bool { return &g.Policy.Snippets }),
		"strict-validate-path-type":       toggle(func(g *Global) *bool { return &g.Policy.StrictPaths }),
		"annotations-risk-level":          {read: readRisk},
		"annotation-value-word-blocklist": list(func(g *Global) *[]string { return &g.Policy.Words }),
		"global-allowed-response-headers": list(func(g *Global) *[]string { return &g.Policy.ResponseHeaders }),
		"block-cidrs": {read: func(r *globalReader, v string) (err error) {
			r.global.Block.Sources, err = parseNetworks(v)
			return err
		}},
		"block-user-agents": {read: func(r *globalReader, v string) (err error) {
			r.global.Block.UserAgents, err = patterns(v)
			return err
		}},
		"block-referers": {read: func(r *globalReader, v string) (err error) {
			r.global.Block.Referers, err = patterns(v)
			return err
		}},
		"no-auth-locations":         list(func(g *Global) *[]string { return &g.NoAuth }),
		"no-tls-redirect-locations": list(func(g *Global) *[]string { return &g.NoTLSRedirect }),
		"location-snippet":          {note: "the directives below", read: snippetKey(func(g *Global) *[]Statement { return &g.Snippet })},
		"server-snippet":            {note: "the directives below", read: snippetKey(func(g *Global) *[]Statement { return &g.Server })},
	}
}

func readRisk(r *globalReader, v string) error {
	for risk := Low; risk <= Critical; risk++ {
		if strings.EqualFold(v, risk.String()) {
			r.global.Policy.Risk = risk
			return nil
		}
	}
	r.global.Policy.Risk = Low // as ingress-nginx reads what it does not know
	return errors.New("it has to be Low, Medium, High or Critical (Low counts)")
}

func snippetKey(at func(*Global) *[]Statement) func(*globalReader, string) error {
	return func(r *globalReader, v string) error {
		statements, errs := ParseSnippet(v)
		*at(r.global) = statements
		var all []error
		for _, e := range errs {
			all = append(all, e)
		}
		return errors.Join(all...)
	}
}

func clientKeys() map[string]globalKey {
	return map[string]globalKey{
		"client-body-timeout":           span(func(g *Global) *time.Duration { return &g.Client.BodyTimeout }),
		"client-header-timeout":         span(func(g *Global) *time.Duration { return &g.Client.HeaderTimeout }),
		"enable-underscores-in-headers": toggle(func(g *Global) *bool { return &g.Client.Underscores }),
		"http2-max-concurrent-streams":  count(1, func(g *Global) *int { return &g.Client.Streams }),
		"keep-alive":                    span(func(g *Global) *time.Duration { return &g.Client.KeepAlive }),
		"keep-alive-requests":           count(1, func(g *Global) *int { return &g.Client.KeepAliveRequests }),
		"large-client-header-buffers":   {note: "number × size bounds the head, size a line of it", read: readHeaderBuffers},
		"use-http2":                     toggle(func(g *Global) *bool { return &g.Client.HTTP2 }),
		"compute-full-forwarded-for":    toggle(func(g *Global) *bool { return &g.RealIP.AppendFor }),
		"enable-real-ip":                toggle(func(g *Global) *bool { return &g.RealIP.RealIP }),
		"forwarded-for-header":          word(func(g *Global) *string { return &g.RealIP.Header }),
		"proxy-protocol-header-timeout": span(func(g *Global) *time.Duration { return &g.RealIP.ProxyTimeout }),
		"use-forwarded-headers":         toggle(func(g *Global) *bool { return &g.RealIP.ForwardedHeaders }),
		"use-proxy-protocol":            toggle(func(g *Global) *bool { return &g.RealIP.ProxyProtocol }),
		"proxy-real-ip-cidr": {note: "without it, everybody is trusted once forwarding headers are, as in ingress-nginx", read: func(r *globalReader, v string) (err error) {
			r.global.RealIP.Trusted, err = parseNetworks(v)
			return err
		}},
		"generate-request-id": {read: func(r *globalReader, v string) error {
			on := true
			err := r.boolean(&on, v)
			r.global.NoRequestID = !on
			return err
		}},
		"proxy-add-original-uri-header": {read: func(r *globalReader, v string) error { return r.boolean(&r.originalURI, v) }},
	}
}

// readHeaderBuffers reads "4 8k".
func readHeaderBuffers(r *globalReader, v string) error {
	words := strings.Fields(v)
	if len(words) != 2 {
		return errors.New(`it has to be a number and a size, like "4 8k"`)
	}
	var n int
	var size int64
	if err := errors.Join(r.number(&n, words[0], 1), r.bytes(&size, words[1])); err != nil {
		return err
	}
	if n > 1024 || size > 1<<20 {
		return errors.New("it has to be at most 1024 buffers of 1m")
	}
	r.global.Client.Line, r.global.Client.HeaderBytes = size, int64(n)*size
	return nil
}

func serverKeys() map[string]globalKey {
	return map[string]globalKey{
		"hsts":                    toggle(func(g *Global) *bool { return &g.HSTS.On }),
		"hsts-include-subdomains": toggle(func(g *Global) *bool { return &g.HSTS.SubDomains }),
		"hsts-max-age":            count(0, func(g *Global) *int { return &g.HSTS.MaxAge }),
		"hsts-preload":            toggle(func(g *Global) *bool { return &g.HSTS.Preload }),
		"server-tokens":           {note: "the native engine sends no Server of its own", read: func(r *globalReader, v string) error { return r.boolean(&r.global.ServerTokens, v) }},
		"hide-headers":            list(func(g *Global) *[]string { return &g.HideHeaders }),
		"ssl-ciphers": {note: "of TLS 1.2, by the names of OpenSSL that Go has", read: func(r *globalReader, v string) error {
			suites, unknown := parseCiphers(v)
			r.global.TLS.Ciphers = suites
			if len(unknown) > 0 {
				return fmt.Errorf("%s is left out, as crypto/tls does not have it", strings.Join(unknown, ":"))
			}
			return nil
		}},
		"ssl-protocols": {note: "TLSv1.2 and TLSv1.3", read: func(r *globalReader, v string) error {
			lowest, highest := tlsVersions(v)
			if lowest == 0 {
				return errors.New("it has to name TLSv1.2 or TLSv1.3")
			}
			r.global.TLS.MinVersion, r.global.TLS.MaxVersion = lowest, highest
			return nil
		}},
		"ssl-reject-handshake": toggle(func(g *Global) *bool { return &g.TLS.RejectHandshake }),
		"ssl-session-tickets":  toggle(func(g *Global) *bool { return &g.TLS.Tickets }),
		"use-gzip": {note: onlyNginx, read: func(r *globalReader, v string) error {
			err := r.boolean(&r.global.Gzip.On, v)
			if r.global.Gzip.On {
				r.problem(Noted, "use-gzip", "counts %s", onlyNginx)
			}
			return err
		}},
		"gzip-level":      {note: onlyNginx, read: func(r *globalReader, v string) error { return r.number(&r.global.Gzip.Level, v, 1) }},
		"gzip-min-length": {note: onlyNginx, read: func(r *globalReader, v string) error { return r.bytes(&r.global.Gzip.MinLength, v) }},
		"gzip-types": {note: onlyNginx, read: func(r *globalReader, v string) error {
			r.global.Gzip.Types = strings.Fields(v)
			return nil
		}},
		"disable-access-log":                    toggle(func(g *Global) *bool { return &g.Log.Off }),
		"disable-http-access-log":               toggle(func(g *Global) *bool { return &g.Log.Off }),
		"enable-access-log-for-default-backend": toggle(func(g *Global) *bool { return &g.Log.DefaultBackend }),
		"log-format-escape-json":                toggle(func(g *Global) *bool { return &g.Log.JSON }),
		"log-format-upstream":                   word(func(g *Global) *string { return &g.Log.Format }),
		"skip-access-log-urls": {read: func(r *globalReader, v string) error {
			words := splitList(v)
			if len(words) == 0 {
				return nil
			}
			re, err := regexp.Compile("(?i)" + strings.Join(words, "|"))
			r.global.Log.SkipPaths = re
			return err
		}},
	}
}

func trafficKeys() map[string]globalKey {
	return map[string]globalKey{
		"http-redirect-code":     {read: readRedirectCode},
		"limit-conn-status-code": {read: func(r *globalReader, v string) error { return readStatus(&r.global.Defaults.Limits.ConnCode, v) }},
		"limit-req-status-code":  {read: func(r *globalReader, v string) error { return readStatus(&r.global.Defaults.Limits.Code, v) }},
		"retry-non-idempotent": {read: func(r *globalReader, v string) error {
			on := false
			err := r.boolean(&on, v)
			if on {
				r.global.Defaults.Proxy.Next.On |= NextNonIdempotent
			}
			return err
		}},
		"upstream-keepalive-connections":     count(0, func(g *Global) *int { return &g.Upstream.Idle }),
		"upstream-keepalive-requests":        count(1, func(g *Global) *int { return &g.Upstream.Requests }),
		"upstream-keepalive-time":            span(func(g *Global) *time.Duration { return &g.Upstream.Lifetime }),
		"upstream-keepalive-timeout":         span(func(g *Global) *time.Duration { return &g.Upstream.Timeout }),
		"worker-shutdown-timeout":            span(func(g *Global) *time.Duration { return &g.Drain }),
		"proxy-stream-timeout":               span(func(g *Global) *time.Duration { return &g.Stream.Timeout }),
		"proxy-stream-next-upstream":         toggle(func(g *Global) *bool { return &g.Stream.Next }),
		"proxy-stream-next-upstream-timeout": span(func(g *Global) *time.Duration { return &g.Stream.NextTimeout }),
		"proxy-stream-next-upstream-tries":   count(0, func(g *Global) *int { return &g.Stream.NextTries }),
		"proxy-stream-responses":             count(0, func(g *Global) *int { return &g.Stream.Responses }),
	}
}

func readRedirectCode(r *globalReader, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || !slices.Contains([]int{301, 302, 307, 308}, n) {
		return errors.New("it has to be 301, 302, 307 or 308")
	}
	r.global.Defaults.Redirect.TLSCode = n
	return nil
}

func readStatus(to *int, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 400 || n > 599 {
		return errors.New("it has to be a status code from 400 to 599")
	}
	*to = n
	return nil
}

// ignoredKeys are those that change nothing that a client or backend could see, by the reason.
func ignoredKeys() map[string]string {
	return map[string]string{
		"tunes nginx itself, which there is none of": `client-header-buffer-size enable-aio-write enable-multi-accept enable-serial-reloads
			lua-shared-dicts map-hash-bucket-size max-worker-connections max-worker-open-files proxy-busy-buffers-size
			proxy-headers-hash-bucket-size proxy-headers-hash-max-size resolver reuse-port server-name-hash-bucket-size
			server-name-hash-max-size ssl-buffer-size variables-hash-bucket-size variables-hash-max-size worker-cpu-affinity
			worker-processes disable-ipv6-dns grpc-buffer-size-kb`,
		"HTTP/2 has limits of its own: docs/ingress.md":                             `http2-max-field-size http2-max-header-size http2-max-requests`,
		"logs go to standard output or to the file of --access-log":                 `access-log-params access-log-path http-access-log-path stream-access-log-path error-log-level error-log-path log-format-escape-none log-format-stream enable-auth-access-log debug-connections`,
		"sessions are resumed without a cache on the server, and curves are Go's":   `ssl-session-cache ssl-session-cache-size ssl-session-timeout ssl-session-ticket-key ssl-ecdh-curve ssl-dh-param`,
		"TLS settings of backends always belong to the location":                    `proxy-ssl-location-only`,
		"the status page is that of --metrics-bind-address":                         `nginx-status-ipv4-whitelist nginx-status-ipv6-whitelist`,
		"responses keep the type that the backend gives them":                       `default-type`,
		"the headers are X-Forwarded-Host and, of PROXY protocol, the connection's": `forwarded-for-proxy-protocol-header forwarded-host-header`,
		"the header Server of backends passes; `hide-headers: Server` takes it out": `allow-backend-server-header`,
		"TCP and UDP services have no access log":                                   `disable-stream-access-log`,
		"clients without gzip do not ask for it":                                    `gzip-disable`,
		"spans are set up by the other keys, without a file":                        `opentelemetry-config`,
	}
}

// refusedKeys are those that ask for what is not there, by the reason.
func refusedKeys() map[string]string {
	return map[string]string{
		"text is never put into a configuration; see the directives of location-snippet": `main-snippet http-snippet stream-snippet`,
		noSecurity:                             `enable-modsecurity enable-owasp-modsecurity-crs modsecurity-snippet`,
		"use gzip":                             `enable-brotli brotli-level brotli-min-length brotli-types`,
		"locations of addresses are not known": `use-geoip2 geoip2-autoreload-in-minutes`,
		"use the flags of the process, see `switchyard ingress --help`":                  `bind-address bind-address-ipv4 bind-address-ipv6 disable-ipv6 enable-syslog syslog-host syslog-port`,
		"a name that is no token is always refused, as requests could be smuggled in it": `ignore-invalid-headers`,
		"stapled answers are not fetched":                                                `enable-ocsp`,
		"requests must not be replayed, which early data allows":                         `ssl-early-data`,
		"limits count by the client's address":                                           `limit-conn-zone-variable`,
	}
}
