package policy

import (
	"cmp"
	"regexp"
	"slices"
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// TestNothingClosesSilently: a text that cannot be compiled closes its location; settings have to tell of it first.
func TestNothingClosesSilently(t *testing.T) {
	global := settings.Default()
	global.Policy.Snippets, global.Policy.Risk = true, settings.Critical
	for _, annotations := range []map[string]string{
		{"app-root": "/$nope"},
		{"permanent-redirect": "https://x.example/$nope"},
		{"temporal-redirect": "https://x.example/$nope"},
		{"rewrite-target": "/$nope"},
		{"rewrite-target": "/$1", "x-forwarded-prefix": "/$nope"},
		{"upstream-vhost": "$nope"},
		{"upstream-hash-by": "$nope"},
		{"auth-url": "http://x.example/$nope"},
		{"auth-url": "http://x.example/", "auth-signin": "http://x.example/$nope"},
		{"auth-url": "http://x.example/", "auth-cache-key": "$nope"},
		{"auth-url": "http://x.example/", "auth-request-redirect": "http://x.example/$nope"},
		{"auth-url": "http://x.example/", "auth-snippet": "proxy_set_header X-A $nope;"},
		{"mirror-target": "http://x.example/$nope"},
		{"mirror-target": "http://x.example/", "mirror-host": "$nope"},
		{"proxy-redirect-from": "http://$nope/", "proxy-redirect-to": "/"},
		{"proxy-redirect-from": "/", "proxy-redirect-to": "http://$nope/"},
		{"proxy-cookie-path": "/ /$nope"},
		{"proxy-cookie-domain": "a.example $nope"},
		{"configuration-snippet": "proxy_set_header X-A $nope;"},
		{"configuration-snippet": "if ($nope) { return 403; }"},
		{"server-snippet": "add_header X-A $nope;"},
		{"auth-tls-secret": "default/ca", "auth-tls-error-page": "https://x.example/$nope"},
	} {
		ing := &model.Ingress{Ref: model.Ref{Namespace: "default", Name: "web"}}
		for name, value := range annotations {
			ing.Annotations = append(ing.Annotations, model.Annotation{Name: name, Value: value})
		}
		slices.SortFunc(ing.Annotations, func(a, b model.Annotation) int { return cmp.Compare(a.Name, b.Name) })
		parsed, problems := settings.Parse(ing, settings.Env{Global: global})
		l := &route.Location{Path: "/", Settings: parsed, Backend: backend(1, "web", &parsed.Upstream)}
		h := &route.Host{Name: "example.com", Locations: []*route.Location{l}, Server: parsed.Server}
		if parsed.ClientTLS != nil {
			h.ClientTLS = &route.ClientTLS{ClientTLS: parsed.ClientTLS}
		}
		if parsed.Rewrite.Target != "" {
			l.Pattern = regexp.MustCompile("^/")
		}
		why := ""
		if p := NewEntry(global, NewState(nil), Ports{}).Compile(h, l); p != nil && p.closed != "" {
			why = p.closed
		}
		if len(problems) == 0 || why != "" {
			t.Errorf("%v: problems %v, closed: %q", annotations, problems, why)
		}
	}
}
