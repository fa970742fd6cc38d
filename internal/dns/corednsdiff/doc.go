// Package corednsdiff holds the cluster DNS against CoreDNS 1.15 with its own kubernetes plugin. Both run over one real API server,
// whose objects change all the time, and are asked thousands of generated questions; only the differences that docs/dns.md lists may
// be there. It has tests only, and needs the programs that `make build peers` builds.
package corednsdiff
