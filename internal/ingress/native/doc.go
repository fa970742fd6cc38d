// Package native is Switchyard's own engine for an entry: an event loop for each processor, straight-line code for each request.
//
//	loop.Listener ──► connection: PROXY protocol, TLS ──► http1.Conn or http2.Conn ──► worker.serve, one exchange
//
//	exchange:  normalise the path ──► Table.Host, Host.Match ──► policy.Admit ──► answer of our own
//	           └► policy.Backend, Pick ──► idle connection or Dial ──► head, body ──► response head ──► policy.Response ──► body
//	                        ▲──────── another endpoint, as long as nothing was sent that may not be sent twice ◄──┘
//
// A table is put in force by one atomic store. Requests that are under way keep the one they began with; no connection is touched.
//
//	config.go      what the engine is told, limits with their defaults
//	engine.go      Apply, Run, Ready; the loops
//	worker.go      what a loop has
//	accept.go      from a connection to its protocol
//	tls.go         certificates by name
//	exchange.go    the life of a request
//	forward.go     endpoints, one after the other
//	head.go        the request as the backend gets it
//	body.go        bodies of requests, kept or passed on
//	respond.go     the response on its way back; tunnel.go after a change of protocol
//	idle.go        connections that wait for another request; backendtls.go those with TLS
//	grpc.go, fastcgi.go, http3.go, passthrough.go   what is not HTTP/1.1 on either side
//	record.go      what logs (accesslog.go, logformat.go) and metrics (counters.go, metrics.go) say of a request
package native
