// Package settings holds what an Ingress asks for beside its rules: the annotations of ingress-nginx
// (nginx.ingress.kubernetes.io/…) over the defaults of its ConfigMap, as typed values.
//
// A value here is valid: what an engine reads of it needs no further check. How each annotation is read, and what becomes of those
// that are not honoured, is in docs/ingress-nginx.md. Nothing in a published value is ever written again.
package settings
