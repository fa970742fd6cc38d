package iptables

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/netip"
	"strconv"

	"github.com/switchyard-net/switchyard/internal/model"
)

// text collects rules in the language of iptables-restore, spelled exactly as iptables-save prints them, so that the two
// can be compared.
type text struct {
	buf []byte
	// rules counts them.
	rules int
}

// rule appends a rule, given in words.
func (t *text) rule(chain string, words ...string) {
	t.begin(chain)
	for _, w := range words {
		if w != "" {
			t.buf = append(append(t.buf, ' '), w...)
		}
	}
	t.end()
}

func (t *text) begin(chain string) { t.buf = append(append(t.buf, "-A "...), chain...) }

func (t *text) end() {
	t.buf = append(t.buf, '\n')
	t.rules++
}

func (t *text) reset() { t.buf, t.rules = t.buf[:0], 0 }

// sum returns a fingerprint of the rules, which is valid in this process only.
func (t *text) sum(seed maphash.Seed) uint64 { return fingerprint(maphash.Bytes(seed, t.buf), t.rules) }

// ofProtocol and toPort match the protocol, and the destination port too.
func ofProtocol(p model.Protocol) string { return "-p " + protocol(p) }

func toPorts(p model.Protocol, first, last uint16) string {
	ports := strconv.Itoa(int(first))
	if last != first {
		ports = fmt.Sprintf("%d:%d", first, last)
	}
	return fmt.Sprintf("-m %s --dport %s", protocol(p), ports)
}

// from and to match a network of source or destination addresses.
func from(p netip.Prefix) string { return "-s " + p.String() }
func to(p netip.Prefix) string   { return "-d " + p.String() }

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func jump(chain string) string { return "-j " + chain }
func goTo(chain string) string { return "-g " + chain }

// probability returns the match that lets one in n packets through. The kernel counts in units of 2^-31
// (linux/netfilter/xt_statistic.h), and iptables-save prints what it makes of that.
func probability(n int) string {
	const unit = 1 << 31
	p := math.Round(unit/float64(n)) / unit
	return "-m statistic --mode random --probability " + strconv.FormatFloat(p, 'f', 11, 64)
}
