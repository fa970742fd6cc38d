// Package grpctest is a gRPC service with a method of each of the four kinds, and what clients have to see of it, whatever is between.
package grpctest
