package ipvs

import "os"

// Loaded reports whether the kernel has IPVS already, without loading it: asking for its generic netlink family would.
func Loaded() bool {
	// Not /proc/net: that is the namespace of the process's first thread.
	_, err := os.Stat("/proc/thread-self/net/ip_vs")
	return err == nil
}
