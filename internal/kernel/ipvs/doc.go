// Package ipvs speaks to the kernel's IP Virtual Server over generic netlink (linux/ip_vs.h): it lists the virtual
// servers that go by packet mark, with their real servers, and changes thousands of them with one system call.
package ipvs
