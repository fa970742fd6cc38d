// Package guest boots User Mode Linux, for what the machine's own kernel lacks: IPVS, SCTP sockets, dummy devices.
//
//	g, err := guest.Boot(ctx, guest.Machine{})
//	defer g.Close()
//	state, err := g.Run(ctx, guest.Command{Args: []string{"ipvsadm", "-Ln"}, Stdout: os.Stdout})
//
// The guest is Debian's user-mode-linux (6.1, amd64), an ordinary process that takes about three seconds to boot. It sees
// the machine's files at their own paths, under a layer in its memory that takes all writes: programs, checkouts and
// temporary files are there, what it changes is gone with it. Only Guest.Shared is one directory on both sides. Its
// modules load by themselves, it has one processor, and no network but the one it is given.
//
// Of netfilter it has iptables (legacy), ip_set, ip_vs and conntrack. Its nf_tables has neither the ip nor the ip6 nor the
// inet family: nft(8), iptables-nft and our nftables backend cannot work in it, so iptables and ip6tables are the legacy
// ones there.
//
// Nothing outlives the process that boots a guest, killed or not: it runs in process, mount and network namespaces of its
// own, where the machine's root file system is read-only. Booting needs root.
//
// Tests use package guesttest, which runs a test's own code in a guest.
package guest
