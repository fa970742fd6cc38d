package route

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// state is what an Ingress asks for, compiled without regard to others. It is immutable once it is made.
type state struct {
	ing      *model.Ingress
	settings *settings.Settings
	problems []Problem
	// denied is why all of its locations answer 503, rejected is true where it has no effect at all.
	denied   string
	rejected bool

	hosts          []string // each once; "": the default host
	paths          []*pathState
	defaultBackend *Backend // of spec.defaultBackend; nil: none
	// catchAll are the settings of an Ingress without rules: redirects and rewrites do not count, as in ingress-nginx.
	catchAll *settings.Settings

	certificates []certificate
	users        *Users
	identity     *BackendIdentity
	clientTLS    *ClientTLS
	errors       *Backend

	secrets, configMaps []model.Ref
	taken               []*backendState
}

// pathState is one path of one rule.
type pathState struct {
	host, path string
	exact      bool
	backend    *Backend // nil: a resource
	canary     *Canary  // where the Ingress is one

	// pattern and patternErr are compiled when a host in regex mode first needs them, from source.
	source     string
	pattern    *regexp.Regexp
	patternErr error
}

// compile makes the state of an Ingress.
func (b *Builder) compile(ing *model.Ingress, d *dirty) *state {
	s := &state{ing: ing}
	parsed, problems := settings.Parse(ing, settings.Env{Global: b.global, ConfigMap: b.configMap})
	s.settings = parsed
	s.secrets, s.configMaps = secretsOf(ing, parsed), settings.References(ing)
	for _, p := range problems {
		b.settingsProblem(s, p)
	}
	if settings.Worst(problems) == settings.Rejected {
		s.rejected = true
		return s
	}
	if b.global.AuthProblem != "" && parsed.Auth == nil && !parsed.NoGlobalAuth {
		s.deny(settings.ReasonInvalid, b.global.AuthProblem) // as if its own authentication could not be had
	}
	if parsed.Passthrough && b.config.NoPassthrough {
		parsed.Passthrough = false
		s.problem(settings.ReasonIgnored, "annotation ssl-passthrough: has no effect, TLS is ended here; start the entry with --enable-ssl-passthrough")
	}
	if ing.Default != nil {
		s.defaultBackend = b.backend(s, "spec.defaultBackend", ing.Default, d)
	}
	b.compilePaths(s, d)
	b.resolve(s)
	if parsed.Errors.Backend != nil {
		s.errors = b.take(s, Key{Service: *parsed.Errors.Backend}, &settings.Upstream{}, d)
	}
	return s
}

func (b *Builder) settingsProblem(s *state, p settings.Problem) {
	s.problems = append(s.problems, Problem{
		Kind: "Ingress", Ref: s.ing.Ref, Reason: p.Reason, Message: p.Field + ": " + p.Message, Denied: p.Effect >= settings.Denied,
	})
	if p.Effect == settings.Denied && s.denied == "" {
		s.denied = p.Field + ": " + p.Message
	}
}

func (s *state) problem(reason, message string) {
	s.problems = append(s.problems, Problem{Kind: "Ingress", Ref: s.ing.Ref, Reason: reason, Message: message})
}

// deny lets all locations of the Ingress answer 503.
func (s *state) deny(reason, message string) {
	s.problems = append(s.problems, Problem{Kind: "Ingress", Ref: s.ing.Ref, Reason: reason, Message: message, Denied: true})
	if s.denied == "" {
		s.denied = message
	}
}

func (b *Builder) compilePaths(s *state, d *dirty) {
	ing := s.ing
	for i, rule := range ing.Rules {
		host := strings.ToLower(rule.Host)
		if !slices.Contains(s.hosts, host) {
			s.hosts = append(s.hosts, host)
		}
		for j := range rule.Paths {
			p := &rule.Paths[j]
			field := "spec.rules[" + itoa(i) + "].http.paths[" + itoa(j) + "]"
			path := &pathState{host: host, path: cmp.Or(p.Path, "/"), exact: p.Type == model.PathExact}
			if path.path[0] != '/' && path.path[0] != '^' {
				s.problem(ReasonPath, field+": path "+quote(path.path)+" does not begin with a slash, and can match nothing; write one")
			}
			path.backend = b.backend(s, field+".backend", &p.Backend, d)
			if s.settings.Canary != nil && path.backend != nil {
				path.canary = &Canary{Ingress: ing.Ref, Settings: s.settings, Backend: path.backend}
			}
			s.paths = append(s.paths, path)
		}
	}
	if len(ing.Rules) == 0 {
		if ing.Default == nil {
			s.problem(ReasonPath, "spec: has neither rules nor a defaultBackend, so nothing is routed to it")
		}
		s.hosts = append(s.hosts, "")
		plain := *s.settings
		plain.Redirect, plain.Rewrite = settings.Redirect{TLSCode: plain.Redirect.TLSCode}, settings.Rewrite{}
		s.catchAll = &plain
	}
}

// backend returns the Backend of a Service's port; nil for what is no Service.
func (b *Builder) backend(s *state, field string, of *model.IngressBackend, d *dirty) *Backend {
	if of.Service == "" {
		s.problem(ReasonBackend, field+": a resource ("+of.Resource+") cannot be served; the default backend takes its place; name a Service")
		return nil
	}
	key := Key{Service: model.Ref{Namespace: s.ing.Ref.Namespace, Name: of.Service}, Name: of.PortName, Number: of.Port}
	return b.take(s, key, &s.settings.Upstream, d)
}

// compiled returns the pattern "^" and source, case-insensitive, as nginx's location "~*" has it.
func (p *pathState) compiled(source string) (*regexp.Regexp, error) {
	if p.source != source || p.pattern == nil && p.patternErr == nil {
		p.source = source
		p.pattern, p.patternErr = compilePattern(source)
	}
	return p.pattern, p.patternErr
}

// compilePattern returns a path as the pattern that nginx would make of it.
func compilePattern(path string) (*regexp.Regexp, error) {
	return regexp.Compile("(?i)^" + plainEscapes(path))
}

// plainEscapes takes the backslash from before those characters that PCRE reads as themselves and RE2 refuses: "_", and letters that
// are neither class nor assertion stay errors, as they mean something in PCRE.
func plainEscapes(pattern string) string {
	if !strings.Contains(pattern, `\_`) {
		return pattern
	}
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			i++
			if pattern[i] != '_' {
				out.WriteByte('\\')
			}
		}
		out.WriteByte(pattern[i])
	}
	return out.String()
}

// older orders Ingresses by precedence: the oldest first, and of those created in the same second, as in ingress-nginx, the one
// whose namespace and name come last in the alphabet.
func older(a, b *state) int {
	if c := a.ing.Created.Compare(b.ing.Created); c != 0 {
		return c
	}
	return strings.Compare(b.ing.Ref.String(), a.ing.Ref.String())
}
