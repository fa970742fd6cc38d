// Package trace makes a span of each request and sends it to a collector (OpenTelemetry, OTLP over gRPC).
//
// Nothing here waits: spans are put into a queue, which is sent by goroutines of the SDK, and what does not fit into it is dropped.
package trace
