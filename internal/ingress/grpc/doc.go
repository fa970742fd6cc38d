// Package grpc carries gRPC calls to backends that speak HTTP/2 (backend-protocol GRPC and GRPCS): messages both ways at the same
// time, trailers, and answers of the entry itself as gRPC clients understand them.
package grpc
