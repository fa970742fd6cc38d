// Package nft speaks to the kernel's nf_tables over netlink: tables, chains, rules, sets, maps and their elements,
// in atomic transactions.
//
// There is no nft binary behind it, so nothing parses text, and an element costs some ten bytes of a buffer and no
// allocation. It knows only what the service proxy programs; it is no general library. A Transaction is built in memory, Run of a
// Conn gives it to the kernel in one batch, which is in force as a whole or not at all. Fake behaves as the kernel
// does, for tests, and prints what it holds.
//
// The wire format is that of linux/netfilter/nf_tables.h; how nft(8) prints what is written here depends on the
// userdata of sets (userdata.go) and on the registers that expressions use (expr.go).
package nft
