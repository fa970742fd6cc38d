// Package fastpath answers the plain questions of a DNS server from tables, and hands everything else to CoreDNS.
//
//	           ┌─ socket, loop ─┐ recvmmsg                    ┌─► zone.Zones: the cluster's names
//	packets ──►│  one a core    ├────────► query ──► Routes ──┼─► Cache: answers of forward, where the Corefile caches
//	           └────────────────┘ sendmmsg                    └─► a goroutine ──► CoreDNS's server, in process
//
// A plain question is one packet over UDP (RFC 1035, section 4.2.1) with one question of class IN, at most an OPT record
// without options (RFC 6891), and nothing else. Answering one allocates nothing. Whatever is not plain is none of this package's
// business: it is neither answered nor refused here.
package fastpath
