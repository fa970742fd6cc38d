package enginetest

import "testing"

// header is what Want.Header and Want.SeenHeader take.
type header = map[string]string

// snippets is the ConfigMap of an entry that takes snippets.
const snippets = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: controller, namespace: ingress}
data: {allow-snippet-annotations: "true", annotations-risk-level: Critical}
`

// Annotations runs the cases of annotations, whose rules package policy's tests cover one by one.
func Annotations(t *testing.T, start Start) {
	ca := newAuthority(t)
	cert, key := ca.pair(t, "example.com")
	secure := secret("cert", "tls.crt", cert, "tls.key", key)
	Run(t, start, redirects(secure))
	Run(t, start, rewrites())
	Run(t, start, access())
	Run(t, start, heads())
	Run(t, start, clientCertificates(t, ca, secure))
}

func redirects(secure string) []Case {
	to := func(status int, location string) Want {
		return Want{Status: status, Header: header{"Location": location}}
	}
	return []Case{
		{
			Name: "ssl-redirect", Manifest: secure + site{tls: "cert"}.String(),
			Steps: []Step{
				{Name: "http goes to https", Target: "/a/?b=c", Want: to(308, "https://example.com/a/?b=c")},
				{Name: "without the final slash", Target: "/a/", Want: to(308, "https://example.com/a")},
				{
					Name: "X-Forwarded-Proto is not believed", Header: [][2]string{{"X-Forwarded-Proto", "https"}},
					Want: to(308, "https://example.com"),
				},
				{
					Name: "https is served, with HSTS", TLS: true,
					Want: Want{
						Status: 200, Backend: "web", CommonName: "example.com",
						Header: header{"Strict-Transport-Security": "max-age=31536000; includeSubDomains"},
					},
				},
			},
		},
		{
			Name: "force-ssl-redirect", Manifest: site{annotations: "force-ssl-redirect: true"}.String(),
			Steps: []Step{{Name: "without a certificate", Target: "/a", Want: to(308, "https://example.com/a")}},
		},
		{
			Name: "permanent-redirect", Manifest: site{annotations: "permanent-redirect: https://other.example/x\ndenylist-source-range: 127.0.0.0/8"}.String(),
			Steps: []Step{{Name: "comes before the deny list", Target: "/a", Want: to(301, "https://other.example/x")}},
		},
		{
			Name: "temporal-redirect", Manifest: site{annotations: "temporal-redirect: https://other.example/x"}.String(),
			Steps: []Step{{Name: "302", Target: "/a", Want: to(302, "https://other.example/x")}},
		},
		{
			Name: "app-root", Manifest: site{annotations: "app-root: /login"}.String(),
			Steps: []Step{
				{Name: "exactly /", Want: to(302, "http://example.com/login")},
				{Name: "nothing else", Target: "/a", Want: Want{Status: 200, Backend: "web"}},
			},
		},
		{
			Name: "from-to-www-redirect", Manifest: site{annotations: "from-to-www-redirect: true"}.String(),
			Steps: []Step{
				{Name: "www", Host: "www.example.com", Target: "/a?b", Want: Want{Status: 308}},
				{Name: "the host itself", Want: Want{Status: 200, Backend: "web"}},
			},
		},
		{
			Name: "a slash at the end", Manifest: site{path: "/dir/"}.String(),
			Steps: []Step{
				{Name: "is added", Target: "/dir?q=1", Want: to(301, "http://example.com/dir/?q=1")},
				{Name: "is there", Target: "/dir/a", Want: Want{Status: 200, Backend: "web", Seen: Seen{Target: "/dir/a"}}},
			},
		},
	}
}

func rewrites() []Case {
	seen := func(target string) Want { return Want{Status: 200, Backend: "web", Seen: Seen{Target: target}} }
	return []Case{
		{
			Name: "rewrite-target", Manifest: site{
				path: "/app(/|$)(.*)", pathType: "ImplementationSpecific", annotations: "rewrite-target: /$2\nx-forwarded-prefix: /app",
			}.String(),
			Steps: []Step{
				{Name: "captures", Target: "/app/a/b", Want: seen("/a/b")},
				{Name: "the query stays", Target: "/app/a?b=c", Want: seen("/a?b=c")},
				{Name: "case", Target: "/APP/A", Want: seen("/A")},
				{Name: "nothing captured", Target: "/app", Want: seen("/")},
				{Name: "escaped anew", Target: "/app/a%20b%3Fc", Want: seen("/a%20b%3Fc")},
				{Name: "the prefix is told", Target: "/app/x", Want: Want{Status: 200, Backend: "web", SeenHeader: header{"X-Forwarded-Prefix": "/app"}}},
				{Name: "another path", Target: "/application", Want: Want{Status: 404}},
			},
		},
		{
			Name: "rewrite-target without captures", Manifest: site{path: "/app", annotations: "rewrite-target: /"}.String(),
			Steps: []Step{{Name: "everything becomes /", Target: "/app/a/b?q", Want: seen("/?q")}},
		},
		{
			Name: "no rewrite", Manifest: site{path: "/"}.String(),
			Steps: []Step{{Name: "the target goes on as it came", Target: "/a%2Fb/%7Ec?x=%20", Want: seen("/a%2Fb/%7Ec?x=%20")}},
		},
		{
			Name: "upstream-vhost", Manifest: site{annotations: "upstream-vhost: inner.example"}.String(),
			Steps: []Step{{Name: "host", Want: Want{
				Status: 200, Backend: "web", Seen: Seen{Host: "inner.example"}, SeenHeader: header{"X-Forwarded-Host": "example.com"},
			}}},
		},
		{
			Name: "canary", Backends: []string{"web", "next"},
			Manifest: site{}.String() + site{name: "next", service: "next", annotations: "canary: true\ncanary-by-header: X-Canary\ncanary-by-cookie: next"}.String(),
			Steps: []Step{
				{Name: "main", Want: Want{Status: 200, Backend: "web"}},
				{Name: "by header", Header: [][2]string{{"X-Canary", "always"}}, Want: Want{Status: 200, Backend: "next"}},
				{Name: "by cookie", Header: [][2]string{{"Cookie", "next=always"}}, Want: Want{Status: 200, Backend: "next"}},
				{Name: "header before cookie", Header: [][2]string{{"X-Canary", "never"}, {"Cookie", "next=always"}}, Want: Want{Status: 200, Backend: "web"}},
			},
		},
		{
			Name: "canary by weight", Backends: []string{"web", "next"},
			Manifest: site{}.String() + site{name: "next", service: "next", annotations: "canary: true\ncanary-weight: 100"}.String(),
			Steps:    []Step{{Name: "all", Want: Want{Status: 200, Backend: "next"}}},
		},
	}
}

func access() []Case {
	refused := Want{Status: 401, Header: header{"Www-Authenticate": `Basic realm="Who"`}}
	in := Want{Status: 200, Backend: "web", SeenHeader: header{"Authorization": ""}}
	basic := func(name, credentials string, want Want) Step { // credentials in base64
		return Step{Name: name, Header: [][2]string{{"Authorization", "Basic " + credentials}}, Want: want}
	}
	users := secret("users", "auth", "# users\nalice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n")
	const auth = "auth-type: basic\nauth-secret: users\nauth-realm: Who\n"
	return []Case{
		{
			Name: "allowlist-source-range", Manifest: site{annotations: "whitelist-source-range: 127.0.0.0/8,::1/128"}.String(),
			Steps: []Step{{Name: "in the list", Want: Want{Status: 200, Backend: "web"}}},
		},
		{
			Name: "not in allowlist-source-range", Manifest: site{annotations: "allowlist-source-range: 192.0.2.0/24"}.String(),
			Steps: []Step{{Name: "403", Header: [][2]string{{"X-Forwarded-For", "192.0.2.1"}}, Want: Want{Status: 403}}},
		},
		{
			Name: "denylist-source-range", Manifest: site{annotations: "denylist-source-range: 127.0.0.0/8\nallowlist-source-range: 127.0.0.0/8"}.String(),
			Steps: []Step{{Name: "is first", Want: Want{Status: 403}}},
		},
		{
			Name: "basic authentication", Manifest: users + site{annotations: auth}.String(),
			Steps: []Step{
				{Name: "without credentials", Want: refused},
				basic("SHA", "YWxpY2U6c2VjcmV0", in),
				basic("APR1", "Ym9iOnNlY3JldA==", in),
				basic("APR1 again", "Ym9iOnNlY3JldA==", in),
				basic("a wrong password", "YWxpY2U6d3Jvbmc=", refused),
				basic("an unknown user", "ZXZlOnNlY3JldA==", refused),
			},
		},
		{
			Name: "basic authentication without its Secret", Manifest: site{annotations: auth}.String(),
			Steps: []Step{{Name: "closed", Want: Want{Status: 503}}},
		},
		{
			Name: "auth-map", Manifest: secret("users", "alice", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=") + site{annotations: auth + "auth-secret-type: auth-map"}.String(),
			Steps: []Step{basic("of the key", "YWxpY2U6c2VjcmV0", in)},
		},
		{
			Name: "satisfy any", Manifest: users + site{annotations: auth + "satisfy: any\nallowlist-source-range: 192.0.2.0/24"}.String(),
			Steps: []Step{basic("by password", "YWxpY2U6c2VjcmV0", in), {Name: "neither", Want: refused}},
		},
		{
			Name: "limit-rpm", Manifest: site{annotations: "limit-rpm: 1\nlimit-burst-multiplier: 2"}.String(),
			Steps: []Step{
				{Name: "first", Want: Want{Status: 200, Backend: "web"}},
				{Name: "second", Want: Want{Status: 200, Backend: "web"}},
				{Name: "third", Want: Want{Status: 200, Backend: "web"}},
				{Name: "fourth", Want: Want{Status: 503}},
			},
		},
		{
			Name: "proxy-body-size", Manifest: site{annotations: "proxy-body-size: 8"}.String(),
			Steps: []Step{
				{Name: "small", Method: "POST", Body: "12345678", Want: Want{Status: 200, Backend: "web"}},
				{Name: "large", Method: "POST", Body: "123456789", Want: Want{Status: 413}},
			},
		},
	}
}

func heads() []Case {
	preflight := [][2]string{{"Origin", "https://a.example"}, {"Access-Control-Request-Method", "PUT"}}
	return []Case{
		{
			Name: "CORS", Manifest: site{annotations: "enable-cors: true\ncors-allow-origin: https://a.example, https://*.b.example\ndenylist-source-range: 192.0.2.1"}.String(),
			Steps: []Step{
				{
					Name: "preflight", Method: "OPTIONS", Target: "/any", Header: preflight,
					Want: Want{Status: 204, Header: header{
						"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "1728000",
						"Access-Control-Allow-Methods": "GET, PUT, POST, DELETE, PATCH, OPTIONS",
					}},
				},
				{
					Name: "a subdomain", Header: [][2]string{{"Origin", "https://x.b.example"}}, Target: "/?set=Access-Control-Allow-Origin:*",
					Want: Want{Status: 200, Backend: "web", Header: header{"Access-Control-Allow-Origin": "https://x.b.example"}},
				},
				{
					Name: "another origin", Header: [][2]string{{"Origin", "https://c.example"}},
					Want: Want{Status: 200, Backend: "web", Header: header{"Access-Control-Allow-Origin": ""}},
				},
				{
					Name: "preflight of another origin", Method: "OPTIONS", Header: [][2]string{{"Origin", "https://c.example"}},
					Want: Want{Status: 200, Backend: "web"},
				},
			},
		},
		{
			Name: "snippet", Manifest: snippets + site{annotations: `configuration-snippet: more_set_headers "X-Host: $host"; add_header X-Ok $arg_a; ` +
				`proxy_set_header X-Uri $request_uri; more_set_input_headers "X-In: 1"; if ($http_x_bad) { return 403 "no"; }`}.String(),
			Steps: []Step{
				{
					Name: "headers", Target: "/x?a=1&set=X-Host:theirs", Header: [][2]string{{"X-Uri", "theirs"}},
					Want: Want{
						Status: 200, Backend: "web", Header: header{"X-Host": "example.com", "X-Ok": "1"},
						SeenHeader: header{"X-Uri": "/x?a=1&set=X-Host:theirs", "X-In": "1"},
					},
				},
				{
					Name: "add_header not with errors", Target: "/x?a=1&status=404",
					Want: Want{Status: 404, Backend: "web", Header: header{"X-Host": "example.com", "X-Ok": ""}},
				},
				{Name: "if", Header: [][2]string{{"X-Bad", "1"}}, Want: Want{Status: 403, Body: "no", Header: header{"X-Host": "example.com"}}},
			},
		},
		{
			Name: "snippets are off", Manifest: site{annotations: "configuration-snippet: return 403;"}.String(),
			Steps: []Step{{Name: "the Ingress is refused", Want: Want{Status: 404}}},
		},
		{
			Name: "proxy-redirect", Manifest: site{annotations: "proxy-redirect-from: http://inner/\nproxy-redirect-to: https://example.com/x/"}.String(),
			Steps: []Step{{
				Name: "Location", Target: "/?status=302&set=Location:http://inner/a",
				Want: Want{Status: 302, Backend: "web", Header: header{"Location": "https://example.com/x/a"}},
			}},
		},
		{
			Name: "proxy-cookie", Manifest: site{annotations: "proxy-cookie-path: /inner/ /\nproxy-cookie-domain: inner.example example.com"}.String(),
			Steps: []Step{{
				Name: "Set-Cookie", Target: "/?set=Set-Cookie:a%3Db%3B%20Domain%3Dinner.example%3B%20Path%3D/inner/x",
				Want: Want{Status: 200, Backend: "web", Header: header{"Set-Cookie": "a=b; Domain=example.com; Path=/x"}},
			}},
		},
	}
}

func clientCertificates(t *testing.T, ca *authority, secure string) []Case {
	stranger := newAuthority(t)
	asks := secure + secret("ca", "ca.crt", ca.pem)
	alice, bob, eve := ca.client(t, "alice"), ca.client(t, "bob"), stranger.client(t, "alice")
	const annotations = "auth-tls-secret: default/ca\n"
	return []Case{
		{
			Name: "auth-tls-secret", Manifest: asks + site{tls: "cert", annotations: annotations}.String(),
			Steps: []Step{
				{Name: "none", TLS: true, Want: Want{Status: 400}},
				{Name: "of a stranger", TLS: true, Certificates: eve, Want: Want{Status: 400}},
				{
					Name: "good", TLS: true, Certificates: alice, Header: [][2]string{{"Ssl-Client-Cert", "forged"}},
					Want: Want{Status: 200, Backend: "web", SeenHeader: header{
						"Ssl-Client-Verify": "SUCCESS", "Ssl-Client-Subject-Dn": "CN=alice,O=Tests", "Ssl-Client-Issuer-Dn": "CN=ca,O=Tests", "Ssl-Client-Cert": "",
					}},
				},
			},
		},
		{
			Name: "auth-tls-verify-client optional", Manifest: asks + site{tls: "cert", annotations: annotations + "auth-tls-verify-client: optional"}.String(),
			Steps: []Step{
				{
					Name: "none", TLS: true, Header: [][2]string{{"Ssl-Client-Verify", "SUCCESS"}},
					Want: Want{Status: 200, Backend: "web", SeenHeader: header{"Ssl-Client-Verify": "NONE"}},
				},
				{Name: "of a stranger", TLS: true, Certificates: eve, Want: Want{Status: 400}},
			},
		},
		{
			Name: "auth-tls-match-cn", Manifest: asks + site{tls: "cert", annotations: annotations + "auth-tls-match-cn: CN=alice"}.String(),
			Steps: []Step{
				{Name: "alice", TLS: true, Certificates: alice, Want: Want{Status: 200, Backend: "web"}},
				{Name: "bob", TLS: true, Certificates: bob, Want: Want{Status: 403, Body: "client certificate unauthorized"}},
			},
		},
		{
			Name: "auth-tls-error-page", Manifest: asks + site{tls: "cert", annotations: annotations + "auth-tls-error-page: https://help.example/"}.String(),
			Steps: []Step{{Name: "none", TLS: true, Want: Want{Status: 302, Header: header{"Location": "https://help.example/"}}}},
		},
	}
}
