package enginetest

import (
	"strings"
	"testing"
)

// configured is the ConfigMap of the entry, of lines of "key: value".
func configured(lines string) string {
	var b strings.Builder
	b.WriteString("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: controller, namespace: ingress}\ndata:\n  x: y\n")
	for line := range strings.SplitSeq(lines, "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			b.WriteString("  " + key + ": \"" + value + "\"\n")
		}
	}
	return b.String()
}

// ConfigMaps runs the cases of the keys of ingress-nginx's ConfigMap that decide about requests.
func ConfigMaps(t *testing.T, start Start) {
	Run(t, start, clientsBelieved())
	Run(t, start, defaultsOfAll(t))
	t.Run("global-auth-url", func(t *testing.T) { globalAuth(t, start) })
}

func clientsBelieved() []Case {
	told := [][2]string{{"X-Forwarded-For", "192.0.2.7"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "outer.example"}, {"X-Forwarded-Port", "8443"}}
	const believe = "use-forwarded-headers: true\nproxy-real-ip-cidr: 127.0.0.0/8\n"
	return []Case{
		{
			Name: "use-forwarded-headers", Manifest: configured(believe) + site{annotations: "force-ssl-redirect: true\nallowlist-source-range: 192.0.2.0/24"}.String(),
			Steps: []Step{
				{
					Name: "the proxy is believed", Header: told,
					Want: Want{Status: 200, Backend: "web", SeenHeader: header{
						"X-Real-Ip": "192.0.2.7", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "outer.example",
						"X-Forwarded-Port": "8443", "X-Scheme": "https", "X-Original-Forwarded-For": "192.0.2.7",
					}},
				},
				{
					Name: "the last address that is no proxy", Header: [][2]string{{"X-Forwarded-For", "192.0.2.9, 198.51.100.1, 127.0.0.9"}, {"X-Forwarded-Proto", "https"}},
					Want: Want{Status: 403},
				},
				{Name: "it says http", Header: told[:1], Want: Want{Status: 308}},
			},
		},
		{
			Name: "another proxy", Manifest: configured("use-forwarded-headers: true\nproxy-real-ip-cidr: 10.0.0.0/8") + site{}.String(),
			Steps: []Step{{
				Name: "its word about the client does not count", Header: told[:1],
				Want: Want{Status: 200, Backend: "web", SeenHeader: header{"X-Real-Ip": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}},
			}},
		},
		{
			Name: "compute-full-forwarded-for", Manifest: configured(believe+"compute-full-forwarded-for: true") + site{}.String(),
			Steps: []Step{{
				Name: "the proxy is appended", Header: told[:1],
				Want: Want{Status: 200, Backend: "web", SeenHeader: header{"X-Real-Ip": "192.0.2.7", "X-Forwarded-For": "192.0.2.7, 127.0.0.1"}},
			}},
		},
		{
			Name: "block-user-agents", Manifest: configured("block-user-agents: ~*badbot\nblock-referers: https://spam.example/") + site{}.String(),
			Steps: []Step{
				{Name: "agent", Header: [][2]string{{"User-Agent", "a BadBot/1"}}, Want: Want{Status: 403}},
				{Name: "referer", Header: [][2]string{{"Referer", "https://spam.example/"}}, Want: Want{Status: 403}},
				{Name: "others", Header: [][2]string{{"User-Agent", "curl"}, {"Referer", "https://ok.example/"}}, Want: Want{Status: 200, Backend: "web"}},
			},
		},
		{
			Name: "block-cidrs", Manifest: configured("block-cidrs: 127.0.0.0/8") + site{}.String(),
			Steps: []Step{{Name: "blocked", Want: Want{Status: 403}}},
		},
	}
}

func defaultsOfAll(t *testing.T) []Case {
	cert, key := newAuthority(t).pair(t, "example.com")
	secure := secret("cert", "tls.crt", cert, "tls.key", key)
	const fields = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: fields, namespace: ingress}
data: {X-Entry: "of $host"}
`
	return []Case{
		{
			Name: "hsts and http-redirect-code", Manifest: secure + configured("hsts: false\nhttp-redirect-code: 301") + site{tls: "cert"}.String(),
			Steps: []Step{
				{Name: "no HSTS", TLS: true, Want: Want{Status: 200, Backend: "web", Header: header{"Strict-Transport-Security": ""}}},
				{Name: "code", Target: "/a", Want: Want{Status: 301, Header: header{"Location": "https://example.com/a"}}},
			},
		},
		{
			Name: "ssl-redirect", Manifest: secure + configured("ssl-redirect: false") + site{tls: "cert"}.String() +
				site{name: "forced", host: "forced.example", tls: "cert", annotations: "force-ssl-redirect: true"}.String(),
			Steps: []Step{
				{Name: "off for all", Want: Want{Status: 200, Backend: "web"}},
				{Name: "but one", Host: "forced.example", Target: "/a", Want: Want{Status: 308}},
			},
		},
		{
			Name: "add-headers and proxy-set-headers", Manifest: fields + configured("add-headers: ingress/fields\nproxy-set-headers: ingress/fields\nhide-headers: X-Secret") + site{}.String(),
			Steps: []Step{{
				Name: "both ways", Target: "/?set=X-Secret:1&set=X-Entry:theirs", Header: [][2]string{{"X-Entry", "theirs"}},
				Want: Want{Status: 200, Backend: "web", Header: header{"X-Entry": "of example.com", "X-Secret": ""}, SeenHeader: header{"X-Entry": "of example.com"}},
			}},
		},
		{
			Name: "limit-req-status-code", Manifest: configured("limit-req-status-code: 429") + site{annotations: "limit-rpm: 1\nlimit-burst-multiplier: 1"}.String(),
			Steps: []Step{
				{Name: "first", Want: Want{Status: 200, Backend: "web"}},
				{Name: "second", Want: Want{Status: 200, Backend: "web"}},
				{Name: "third", Want: Want{Status: 429}},
			},
		},
		{
			Name: "whitelist-source-range of all", Manifest: configured("whitelist-source-range: 192.0.2.0/24") + site{}.String() +
				site{name: "open", host: "open.example", annotations: "whitelist-source-range: 0.0.0.0/0"}.String(),
			Steps: []Step{
				{Name: "closed", Want: Want{Status: 403}},
				{Name: "open by annotation", Host: "open.example", Want: Want{Status: 200, Backend: "web"}},
			},
		},
		{
			Name: "proxy-body-size of all", Manifest: configured("proxy-body-size: 4") + site{}.String(),
			Steps: []Step{{Name: "large", Method: "POST", Body: "12345", Want: Want{Status: 413}}},
		},
	}
}

func globalAuth(t *testing.T, start Start) {
	server := newThird(t)
	e := Serve(t, start, Case{Manifest: configured("global-auth-url: "+server.URL+"/check\nglobal-auth-response-headers: X-User") + site{}.String() +
		site{name: "open", host: "open.example", annotations: "enable-global-auth: false"}.String()})
	server.answers(200, "X-User", "alice")
	e.step(t, Step{Want: Want{Status: 200, Backend: "web", SeenHeader: header{"X-User": "alice"}}})
	server.answers(403)
	e.step(t, Step{Want: Want{Status: 403}})
	e.step(t, Step{Host: "open.example", Want: Want{Status: 200, Backend: "web"}})
}
