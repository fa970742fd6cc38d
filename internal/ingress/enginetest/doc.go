// Package enginetest is one table of cases for all engines of an entry: manifests, requests over real connections on loopback, and
// what has to come of them.
//
// An engine's test calls Run with a way to start it. A case names its backends; each is a real HTTP server that answers with what it
// has been asked (Seen), and for which the case gets a Service and an EndpointSlice of that name, port 80, in namespace "default".
// What an engine does differently on purpose is listed by its test in Start.Differs, with a reason that its documentation has too.
package enginetest
