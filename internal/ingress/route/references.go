package route

import (
	"slices"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// The reasons of problems beside those of package settings.
const (
	ReasonConflict    = "PathConflict"
	ReasonHost        = "HostConflict"
	ReasonPath        = "InvalidPath"
	ReasonPattern     = settings.ReasonPattern
	ReasonBackend     = "BackendNotFound"
	ReasonCertificate = "BadCertificate"
	ReasonSecret      = "BadSecret"
	ReasonCanary      = "CanaryNotServed"
	ReasonStream      = "StreamNotServed"
)

// References returns the Secrets that an Ingress names, each once: of its tls section and of its annotations. Those of other namespaces
// are left out, unless the ConfigMap of the entry admits them.
func (b *Builder) References(ing *model.Ingress) []model.Ref {
	global := b.global
	if global == nil {
		global = settings.Default()
	}
	parsed, _ := settings.Parse(ing, settings.Env{Global: global})
	return secretsOf(ing, parsed)
}

// ConfigMaps returns the ConfigMaps that an Ingress names, each once, as References does Secrets.
func (b *Builder) ConfigMaps(ing *model.Ingress) []model.Ref {
	all := b.global != nil && b.global.Policy.CrossNamespace
	return slices.DeleteFunc(settings.References(ing), func(ref model.Ref) bool { return !all && ref.Namespace != ing.Ref.Namespace })
}

func secretsOf(ing *model.Ingress, s *settings.Settings) []model.Ref {
	var out []model.Ref
	add := func(ref model.Ref) {
		if ref.Name != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, t := range ing.TLS {
		add(model.Ref{Namespace: ing.Ref.Namespace, Name: t.Secret})
	}
	if s.BasicAuth != nil {
		add(s.BasicAuth.Secret)
	}
	if s.ClientTLS != nil {
		add(s.ClientTLS.Secret)
	}
	add(s.BackendTLS.Secret)
	return out
}

func itoa(n int) string     { return strconv.Itoa(n) }
func quote(s string) string { return strconv.Quote(s) }
