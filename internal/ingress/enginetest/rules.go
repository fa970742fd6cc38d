package enginetest

import "testing"

// Rules runs a case for each rule that trips those who come from ingress-nginx (docs/ingress-nginx.md), in the order of that page.
func Rules(t *testing.T, start Start) {
	Run(t, start, patternRules())
	Run(t, start, pathRules())
	Run(t, start, answerRules(t))
}

// at is an Ingress for a path with a backend of its own, by name.
func at(name, path, pathType, annotations string) string {
	return site{name: name, path: path, pathType: pathType, service: name, annotations: annotations}.String()
}

func served(backend string) Want { return Want{Status: 200, Backend: backend} }

func patternRules() []Case {
	const any, prefix, exact = "ImplementationSpecific", "Prefix", "Exact"
	return []Case{
		{
			Name: "a pattern is a prefix and has no case", Manifest: at("web", "/[A-Z]{3}", any, "use-regex: true"),
			Steps: []Step{
				{Name: "case", Target: "/uuid", Want: served("web")},
				{Name: "prefix", Target: "/uuid/x", Want: served("web")},
				{Name: "not in the middle", Target: "/1/uuid", Want: Want{Status: 404}},
			},
		},
		{
			Name: "use-regex counts for all Ingresses of the host", Backends: []string{"exact", "prefix", "pattern"},
			Manifest: at("exact", "/Header", exact, "") + at("prefix", "/aaa", prefix, "") + at("pattern", "/x[0-9]", any, "use-regex: true"),
			Steps: []Step{
				{Name: "Exact is a prefix", Target: "/headers", Want: served("exact")},
				{Name: "Prefix is no path of elements", Target: "/aaaccc", Want: served("prefix")},
				{Name: "the pattern", Target: "/x7", Want: served("pattern")},
			},
		},
		{
			Name: "rewrite-target does so, too", Backends: []string{"exact", "rewritten"},
			Manifest: at("exact", "/exact", exact, "") + at("rewritten", "/app", prefix, "rewrite-target: /new"),
			Steps:    []Step{{Name: "Exact is a prefix", Target: "/exactly", Want: served("exact")}},
		},
		{
			Name: "the first pattern in order counts", Backends: []string{"pattern", "longer"},
			Manifest: at("pattern", "/foo/bar/[a-z]{3}", any, "use-regex: true") + at("longer", "/foo/bar/bar", prefix, ""),
			Steps:    []Step{{Name: "the pattern", Target: "/foo/bar/bar", Want: served("pattern")}},
		},
		{
			Name: "canaries of one path", Backends: []string{"first", "second"},
			Manifest: site{}.String() + at("first", "/", prefix, "canary: true\ncanary-by-header: X-A") + at("second", "/", prefix, "canary: true\ncanary-by-header: X-B"),
			Steps: []Step{
				{Name: "the first counts", Header: [][2]string{{"X-A", "always"}}, Want: served("first")},
				{Name: "the second does not", Header: [][2]string{{"X-B", "always"}}, Want: served("web")},
			},
		},
	}
}

func pathRules() []Case {
	const prefix, exact = "Prefix", "Exact"
	return []Case{
		{
			Name: "paths without patterns", Backends: []string{"exact", "short", "long"},
			Manifest: at("exact", "/foo", exact, "") + at("short", "/foo", prefix, "") + at("long", "/foo/bar", prefix, ""),
			Steps: []Step{
				{Name: "Exact comes first", Target: "/foo", Want: served("exact")},
				{Name: "then the longest Prefix", Target: "/foo/bar/x", Want: served("long")},
				{Name: "by elements", Target: "/foo/barx", Want: served("short")},
				{Name: "of which a part is none", Target: "/foox", Want: Want{Status: 404}},
				{Name: "with case", Target: "/FOO", Want: Want{Status: 404}},
			},
		},
		{
			Name: "paths are made plain before they are matched", Backends: []string{"uuid", "secret"},
			Manifest: at("uuid", "/uuid", exact, "") + at("secret", "/secret", prefix, "denylist-source-range: 127.0.0.0/8"),
			Steps: []Step{
				{Name: "slashes", Raw: "GET ////uuid HTTP/1.1\r\nHost: example.com\r\n\r\n", Want: Want{Status: 200, Backend: "uuid", Seen: Seen{Target: "////uuid"}}},
				{Name: "dots", Target: "/x/../uuid", Want: served("uuid")},
				{Name: "encoded dots", Target: "/x/%2e%2e/uuid", Want: served("uuid")},
				{Name: "encoded letters", Target: "/%75uid", Want: served("uuid")},
				{Name: "what is denied stays so by slashes", Raw: "GET //secret/x HTTP/1.1\r\nHost: example.com\r\n\r\n", Want: Want{Status: 403}},
				{Name: "by dots", Target: "/uuid/../secret", Want: Want{Status: 403}},
				{Name: "by encoding", Target: "/%73ecret", Want: Want{Status: 403}},
				{Name: "above the root", Target: "/../x", Want: Want{Status: 400}},
			},
		},
		{
			Name: "the oldest Ingress has a path", Backends: []string{"older", "younger"},
			Manifest: created("younger", "2020-01-02T00:00:00Z") + created("older", "2020-01-01T00:00:00Z"),
			Steps:    []Step{{Name: "older", Want: served("older")}},
		},
		{
			Name: "characters of patterns in a Prefix", Backends: []string{"web"},
			Manifest: at("web", "/a(b|c)", prefix, ""),
			Steps:    []Step{{Name: "refused", Target: "/ab", Want: Want{Status: 404}}},
		},
		{
			Name: "an annotation that is not valid", Backends: []string{"bad"},
			Manifest: at("bad", "/bad", prefix, "backend-protocol: GOPHER\nrewrite-target: /{}") + site{path: "/good"}.String(),
			Steps: []Step{
				{Name: "touches no other Ingress", Target: "/good", Want: served("web")},
			},
		},
	}
}

// created is an Ingress of example.com that was made at a time.
func created(name, when string) string {
	return `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ` + name + `, namespace: default, creationTimestamp: "` + when + `"}
spec: {rules: [{host: example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: ` + name + `, port: {number: 80}}}}]}}]}
`
}

func answerRules(t *testing.T) []Case {
	cert, key := newAuthority(t).pair(t, "example.com")
	return []Case{
		{
			Name: "what there is no backend for", Manifest: site{path: "/none", service: "none"}.String() +
				"---\napiVersion: v1\nkind: Service\nmetadata: {name: none, namespace: default}\nspec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}\n",
			Steps: []Step{
				{Name: "no endpoints", Target: "/none", Want: Want{Status: 503}},
				{Name: "no path", Target: "/other", Want: Want{Status: 404}},
				{Name: "no host", Host: "other.example", Want: Want{Status: 404}},
				{
					Name: "no certificate", Host: "other.example", TLS: true,
					Want: Want{Status: 404, CommonName: "Kubernetes Ingress Controller Fake Certificate"},
				},
			},
		},
		{
			Name: "HSTS is on", Manifest: secret("cert", "tls.crt", cert, "tls.key", key) + site{tls: "cert"}.String(),
			Steps: []Step{{
				Name: "for a year", TLS: true, Target: "/?set=Strict-Transport-Security:max-age%3D1",
				Want: Want{Status: 200, Backend: "web", Header: header{"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}},
			}, {
				Name: "over HTTP/2", TLS: true, HTTP2: true, Target: "/?set=Strict-Transport-Security:max-age%3D1",
				Want: Want{Status: 200, Backend: "web", Header: header{"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}},
			}},
		},
		{
			Name: "a Secret that is missing", Manifest: site{annotations: "auth-type: basic\nauth-secret: none"}.String(),
			Steps: []Step{{Name: "closes the location", Want: Want{Status: 503}}},
		},
	}
}
