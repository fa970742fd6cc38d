// Package ipset speaks to the kernel's ip_set over netlink (linux/netfilter/ipset/ip_set.h): sets of addresses and
// ports, thousands of whose elements change with one system call. Fake is an ip_set that lives in memory.
package ipset
