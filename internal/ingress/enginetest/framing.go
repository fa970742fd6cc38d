package enginetest

// Framing returns the cases of messages that could be read in two ways: each is refused, and the connection is closed.
func Framing() []Case {
	refused := func(name, raw string) Step {
		return Step{Name: name, Raw: raw, Want: Want{Status: 400, Closed: true}}
	}
	const get = "GET / HTTP/1.1\r\nHost: example.com\r\n"
	const post = "POST / HTTP/1.1\r\nHost: example.com\r\n"
	return []Case{{
		Name: "framing", Manifest: plain,
		Steps: []Step{
			refused("length and chunks", post+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
			refused("chunks and length", post+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
			refused("two lengths", post+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
			refused("the same length twice", post+"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
			refused("a list of lengths", post+"Content-Length: 5, 5\r\n\r\nhello"),
			refused("a length with a sign", post+"Content-Length: +5\r\n\r\nhello"),
			refused("a negative length", post+"Content-Length: -5\r\n\r\nhello"),
			refused("an empty length", post+"Content-Length:\r\n\r\nhello"),
			refused("a length in hexadecimal", post+"Content-Length: 0x5\r\n\r\nhello"),
			refused("a length that overflows", post+"Content-Length: 99999999999999999999\r\n\r\nhello"),
			refused("two codings", post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
			refused("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
			{
				Name: "a coding that is not known", Raw: post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
				Want: Want{Status: 501, Closed: true},
			},
			refused("a folded line", get+"A: b\r\n c\r\n\r\n"),
			refused("white space before the colon", get+"A : b\r\n\r\n"),
			refused("a name that is no token", get+"A(: b\r\n\r\n"),
			refused("no name", get+": b\r\n\r\n"),
			refused("no colon", get+"A\r\n\r\n"),
			refused("a bare LF", get+"A: b\nC: d\r\n\r\n"),
			refused("a bare CR", get+"A: b\rC: d\r\n\r\n"),
			refused("NUL", get+"A: b\x00c\r\n\r\n"),
			refused("no Host", "GET / HTTP/1.1\r\n\r\n"),
			refused("two hosts", get+"Host: example.com\r\n\r\n"),
			refused("a bad Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
			refused("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
			refused("two spaces", "GET  / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
			refused("a control character in the target", "GET /\x01 HTTP/1.1\r\nHost: example.com\r\n\r\n"),
			refused("a path that leaves the root", "GET /../x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"),
			refused("a broken percent sign", "GET /%zz HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"),
			refused("a chunk size that is none", post+"Transfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n"),
			refused("a chunk size that ends with LF", post+"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
			refused("a chunk size with white space", post+"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
			refused("a chunk that is too long", post+"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n"),
			refused("a chunk size that overflows", post+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
			{
				Name: "chunk extensions are dropped", Raw: post + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
				Want: Want{Status: 200, Backend: "web", Seen: Seen{Body: "hello", Length: 5}},
			},
			{
				Name: "one request in the body of another",
				Raw:  post + "Content-Length: 28\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nA: b",
				Want: Want{Status: 200, Backend: "web", Closed: true, Seen: Seen{Body: "GET /smuggled HTTP/1.1\r\nA: b"}},
			},
			{
				Name: "a version that is not known", Raw: "GET / HTTP/3.0\r\nHost: example.com\r\n\r\n", Want: Want{Status: 505, Closed: true},
			},
			{
				Name: "an expectation that is not known", Raw: post + "Expect: more\r\nContent-Length: 0\r\n\r\n",
				Want: Want{Status: 417, Closed: true},
			},
		},
	}}
}
