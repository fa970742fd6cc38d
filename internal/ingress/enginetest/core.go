package enginetest

// plain is an Ingress for one host and all its paths.
const plain = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: plain, namespace: default}
spec:
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// Core returns the cases of what is there without any annotation.
func Core() []Case {
	return []Case{
		{
			Name: "forwarding", Manifest: plain,
			Steps: []Step{
				{
					Name: "headers that tell of the client", Target: "/a?b=c", Header: [][2]string{{"Accept", "x"}},
					Want: Want{
						Status: 200, Backend: "web", Seen: Seen{Method: "GET", Target: "/a?b=c", Host: "example.com", Proto: "HTTP/1.1"},
						Header: map[string]string{"X-Backend": "web", "Server": ""},
						SeenHeader: map[string]string{
							"Accept": "x", "X-Real-Ip": "127.0.0.1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "example.com",
							"X-Forwarded-Proto": "http", "X-Forwarded-Scheme": "http", "X-Scheme": "http", "Connection": "", "Content-Length": "",
						},
					},
				},
				{
					Name: "the client's own words about itself do not count",
					Header: [][2]string{
						{"X-Forwarded-For", "1.2.3.4"},
						{"X-Real-IP", "1.2.3.4"},
						{"X-Forwarded-Proto", "https"},
						{"X-Forwarded-Host", "evil"},
						{"X-Scheme", "https"},
						{"Proxy", "http://evil"},
						{"X-Request-ID", "mine"},
						{"X-Forwarded-Prefix", "/x"},
					},
					Want: Want{Status: 200, Backend: "web", SeenHeader: map[string]string{
						"X-Forwarded-For": "127.0.0.1", "X-Original-Forwarded-For": "1.2.3.4", "X-Real-Ip": "127.0.0.1", "Proxy": "",
						"X-Forwarded-Proto": "http", "X-Forwarded-Host": "example.com", "X-Request-Id": "mine", "X-Forwarded-Prefix": "",
					}},
				},
			},
		},
		{Name: "carrying", Manifest: plain, Steps: carrying()},
		{
			Name: "endpoints", Manifest: plain, Backends: []string{"web", "web", "web"},
			Steps: []Step{
				{
					Name: "another endpoint after a failure", Target: "/",
					Want: Want{Status: 200, Backend: "*"},
				},
			},
		},
	}
}

// carrying are requests and responses of many kinds.
func carrying() []Step {
	return []Step{
		{
			Name: "hop by hop and odd names",
			Raw: "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\n" +
				"x_under: 1\r\nX.Dot: 1\r\nX-Good: 1\r\n\r\n",
			Want: Want{Status: 200, Backend: "web", Closed: true, SeenHeader: map[string]string{
				"X-Hop": "", "Keep-Alive": "", "Te": "", "X_under": "", "X.dot": "", "X-Good": "1",
			}},
		},
		{
			Name: "body", Method: "POST", Body: "hello",
			Want: Want{Status: 200, Backend: "web", Seen: Seen{Method: "POST", Body: "hello", Length: 5}},
		},
		{
			Name: "HEAD", Method: "HEAD", Target: "/?size=12",
			Want: Want{Status: 200, Backend: "web", Header: map[string]string{"Content-Length": "12"}, Seen: Seen{Method: "HEAD"}},
		},
		{
			Name: "status of the backend", Target: "/?status=418",
			Want: Want{Status: 418, Backend: "web"},
		},
		{Name: "304 has no body", Target: "/?status=304", Want: Want{Status: 304, Backend: "web"}},
		{Name: "a large response", Target: "/?size=3000000", Want: Want{Status: 200, Backend: "web"}},
		{Name: "unknown host", Host: "other.example", Want: Want{Status: 404}},
		{Name: "host with port and capitals", Host: "EXAMPLE.com:8080", Want: Want{Status: 200, Backend: "web"}},
		{
			Name: "HTTP/1.0", Raw: "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n",
			Want: Want{Status: 200, Backend: "web", Closed: true},
		},
		{
			Name: "TLS without a certificate of its own", TLS: true,
			Want: Want{
				Status: 200, Backend: "web", CommonName: "Kubernetes Ingress Controller Fake Certificate",
				SeenHeader: map[string]string{"X-Forwarded-Proto": "https"},
			},
		},
		{
			Name: "HTTP/2", TLS: true, HTTP2: true, Method: "POST", Body: "hello",
			Want: Want{Status: 200, Backend: "web", Seen: Seen{Proto: "HTTP/1.1", Body: "hello"}},
		},
	}
}
