package settings

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Default returns the settings of an entry without a ConfigMap, which are those of ingress-nginx.
func Default() *Global {
	g := &Global{
		Policy: Policy{Risk: High, StrictPaths: true},
		HSTS:   HSTS{On: true, MaxAge: 31536000, SubDomains: true},
		Client: Client{
			KeepAlive: 75 * time.Second, KeepAliveRequests: 1000, HeaderTimeout: time.Minute, BodyTimeout: time.Minute,
			HeaderBytes: 32 << 10, Line: 8 << 10, HTTP2: true, Streams: 128,
		},
		Upstream: UpstreamPool{Idle: 320, Requests: 10000, Timeout: time.Minute, Lifetime: time.Hour},
		RealIP:   RealIP{Header: "X-Forwarded-For", ProxyTimeout: 5 * time.Second},
		Gzip:     Gzip{Level: 1, MinLength: 256, Types: strings.Fields(gzipTypes)},
		Stream:   Stream{Timeout: 10 * time.Minute, Next: true, NextTimeout: 10 * time.Minute, NextTries: 3, Responses: 1},
		Tracing:  defaultTracing(),
	}
	g.TLS.MinVersion, g.TLS.MaxVersion = tlsVersions("TLSv1.2 TLSv1.3")
	g.NoTLSRedirect = []string{"/.well-known/acme-challenge"}
	g.NoAuth = g.NoTLSRedirect
	d := &g.Defaults
	d.Redirect = Redirect{TLS: true, TLSCode: 308}
	d.Limits = Limits{BurstMultiplier: 5, Code: 503, ConnCode: 503}
	d.BackendTLS.Depth = 1
	d.Proxy = Proxy{
		Connect: 5 * time.Second, Read: time.Minute, Send: time.Minute, MaxBody: 1 << 20, BufferRequest: true, BodyBuffer: 8 << 10,
		BufferSize: 4 << 10, Buffers: 4, MaxTempFile: 1 << 30, Next: NextUpstream{On: NextError | NextTimeout, Tries: 3},
		RedirectFrom: "off", RedirectTo: "off", RedirectOff: true,
	}
	return g
}

const gzipTypes = "application/atom+xml application/javascript application/x-javascript application/json application/rss+xml " +
	"application/vnd.ms-fontobject application/x-font-ttf application/x-web-app-manifest+json application/xhtml+xml application/xml " +
	"font/opentype image/svg+xml image/x-icon text/css text/javascript text/plain text/x-component"

// ParseGlobal reads the ConfigMap of the entry. A value that is not valid is a problem, and the default counts. lookup returns what
// was read of the ConfigMaps that it names; nil: nothing yet.
func ParseGlobal(ref model.Ref, data map[string]string, lookup func(model.Ref) *model.ConfigMap) (*Global, []Problem) {
	r := &globalReader{global: Default(), data: data}
	keys := globalKeys()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		k, known := keys[key]
		switch {
		case !known:
			r.problem(Lost, key, "is no key of ingress-nginx%s", hint(key, keys))
		case k.read != nil:
			if err := k.read(r, strings.TrimSpace(data[key])); err != nil {
				r.problem(Lost, key, "%s, not %q; the default counts", err, shorten(data[key]))
			}
		case k.verdict == NotHonoured:
			r.problem(Lost, key, "is not supported: %s", k.note)
		case k.verdict == Ignored:
			r.problem(Noted, key, "has no effect here: %s", k.note)
		}
	}
	r.defaults(ref, lookup)
	r.auth(ref, lookup)
	r.headers(ref, lookup)
	return r.global, r.problems
}

func hint(key string, keys map[string]globalKey) string {
	best, least := "", 1+len(key)/6
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if d := distance(key, name, least); d <= least && (best == "" || d < least) {
			best, least = name, d
		}
	}
	if best == "" {
		return ", and has no effect; remove it"
	}
	return "; did you mean " + best + "?"
}

// globalReader collects the settings of the entry.
type globalReader struct {
	global   *Global
	data     map[string]string
	problems []Problem
	// originalURI sends X-Original-URI to backends.
	originalURI bool
}

func (r *globalReader) problem(effect Effect, key, format string, args ...any) {
	r.problems = append(r.problems, Problem{effect, ReasonOption, key, fmt.Sprintf(format, args...)})
}

// as returns a parser of annotations for some keys of the ConfigMap, under the annotations' names.
func (r *globalReader) as(ref model.Ref, lookup func(model.Ref) *model.ConfigMap, names map[string]string) *parser {
	open := *r.global
	open.Policy = Policy{Risk: Critical, Snippets: true, CrossNamespace: true}
	ing := &model.Ingress{Ref: ref}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if v, ok := r.data[key]; ok {
			ing.Annotations = append(ing.Annotations, model.Annotation{Name: names[key], Value: v})
		}
	}
	p := &parser{ing: ing, env: Env{Global: &open, ConfigMap: lookup}, out: r.global.Defaults}
	p.read()
	return p
}

// take takes over the problems of a parser of annotations: nothing of the entry is refused for them.
func (r *globalReader) take(p *parser, names map[string]string) {
	for _, problem := range p.problems {
		for key, name := range names {
			if Prefix+name == problem.Field {
				problem.Field = key
			}
		}
		problem.Effect = min(problem.Effect, Lost)
		problem.Reason = ReasonOption
		r.problems = append(r.problems, problem)
	}
}

// defaults reads the keys behind annotations of the same name.
func (r *globalReader) defaults(ref model.Ref, lookup func(model.Ref) *model.ConfigMap) {
	names := map[string]string{}
	for key, k := range globalKeys() {
		if k.annotation != "" && !strings.HasPrefix(key, "global-auth-") {
			names[key] = k.annotation
		}
	}
	p := r.as(ref, lookup, names)
	p.rewrite()
	p.redirect()
	p.access()
	p.limits()
	p.proxy()
	p.responses()
	p.upstream()
	p.errors()
	r.global.Defaults = p.out
	r.take(p, names)
}

// auth reads global-auth-url and its family. A bad URL turns nothing off: without one, no authentication was asked for.
func (r *globalReader) auth(ref model.Ref, lookup func(model.Ref) *model.ConfigMap) {
	names := map[string]string{}
	for key, k := range globalKeys() {
		if strings.HasPrefix(key, "global-auth-") {
			names[key] = k.annotation
		}
	}
	p := r.as(ref, lookup, names)
	p.externalAuth()
	p.snippets()
	r.global.Auth = p.out.Auth
	r.take(p, names)
	if url := r.data["global-auth-url"]; url != "" && Worst(p.problems) >= Denied {
		r.global.AuthProblem = "global-auth-url of the ConfigMap cannot be honoured: " + p.problems[0].Message
	}
}

// headers reads add-headers and proxy-set-headers, which name ConfigMaps.
func (r *globalReader) headers(ref model.Ref, lookup func(model.Ref) *model.ConfigMap) {
	r.global.AddHeaders = r.headersOf("add-headers", ref, lookup)
	r.global.SetHeaders = r.headersOf("proxy-set-headers", ref, lookup)
	if r.originalURI {
		r.global.SetHeaders = append(r.global.SetHeaders, HeaderEdit{"X-Original-URI", "$request_uri"})
	}
}

func (r *globalReader) headersOf(key string, ref model.Ref, lookup func(model.Ref) *model.ConfigMap) []HeaderEdit {
	value := strings.TrimSpace(r.data[key])
	if value == "" {
		return nil
	}
	named, err := parseRef(value, ref.Namespace, false)
	if err != nil {
		r.problem(Lost, key, "%s", err)
		return nil
	}
	p := &parser{ing: &model.Ingress{Ref: ref}, env: Env{Global: r.global, ConfigMap: lookup}}
	out := p.headersOf(key, named, nil)
	r.take(p, map[string]string{key: key})
	return out
}

// Global settings by type of value.

func (r *globalReader) boolean(to *bool, value string) error {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return isBool(value)
	}
	*to = b
	return nil
}

func (r *globalReader) number(to *int, value string, least int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > 1<<31-1 {
		return fmt.Errorf("it has to be a whole number of at least %d", least)
	}
	*to = n
	return nil
}

func (r *globalReader) time(to *time.Duration, value string) error {
	words := strings.Fields(value)
	if len(words) == 0 {
		return fmt.Errorf("it has to be a time like 60s")
	}
	d, err := duration(words...)
	if err == nil {
		*to = d
	}
	return err
}

func (r *globalReader) bytes(to *int64, value string) error {
	n, err := parseSize(value)
	if err == nil {
		*to = n
	}
	return err
}

// patterns reads regular expressions separated by commas; nginx's "~" and "~*" before one are honoured.
func patterns(value string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, word := range splitList(value) {
		text := "^" + regexp.QuoteMeta(word) + "$"
		if rest, ok := strings.CutPrefix(word, "~*"); ok {
			text = "(?i)" + rest
		} else if rest, ok := strings.CutPrefix(word, "~"); ok {
			text = rest
		}
		re, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", shorten(word), err)
		}
		out = append(out, re)
	}
	return out, nil
}
