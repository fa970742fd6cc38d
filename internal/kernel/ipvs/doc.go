// Package ipvs speaks to the kernel's IP Virtual Server over generic netlink (linux/ip_vs.h): it lists virtual servers
// with their real servers, and changes many of them with one system call.
package ipvs
