// Package userspace is the backend of the userspace mode: connections to Services end in this process, which opens one
// of its own to an endpoint and relays between the two. So it can try another endpoint before the client notices that
// the first did not answer, which no packet rule can.
package userspace
