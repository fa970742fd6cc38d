// Package runtime is a Kubernetes container runtime without containers: a CRI v1 server in which a pod is a network
// namespace and a container is a process with a file system view of its own. README.md has the picture and the limits.
package runtime
