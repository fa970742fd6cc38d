// Package iptables is the seam to the kernel's xtables: iptables-restore and iptables-save, of the legacy or of the nft
// variant, for both IP families. Fake is a kernel that behaves as both do.
package iptables
