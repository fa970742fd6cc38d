// Package ipvs is the backend whose connections are spread by the kernel's IP Virtual Server, with any of its
// schedulers.
package ipvs
