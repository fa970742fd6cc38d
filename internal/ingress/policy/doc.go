// Package policy decides what happens to a request once its location is known: redirects, limits, access, authentication, edits of
// headers, the canary, errors of its own, as the annotations of ingress-nginx ask for (docs/ingress-nginx.md).
//
// A Policy is compiled once for a location and used by all event loops at the same time. Its methods are called in the order of
// nginx's phases, which counts: what redirects comes before what denies, what limits before what authenticates.
//
//	e.Begin      who is the client, which scheme and host did it use
//	p.Admit      rewrite phase (server, location), preaccess, access, precontent: an answer of our own, or on
//	p.Backend    the location's backend, or its canary's
//	p.Pick       an endpoint of it, and another one after a failure
//	p.Request    what changes in the request to the backend
//	p.Intercept  whether the backend's answer is replaced by an error page
//	p.Response   what changes in the response, also in answers of our own
//	x.End        what the request has held is free again
//
// All methods may be called on a nil Policy, which is what a location has that asks for nothing: they cost a comparison then.
//
// No text of a request or of an Ingress can add a line to a head: every value that is made here passes through appendValue, which
// drops what RFC 9110, section 5.5 forbids in field values.
package policy
