package nft

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Family is the address family of a table.
type Family uint8

// The families that have Services.
const (
	IPv4 Family = unix.NFPROTO_IPV4
	IPv6 Family = unix.NFPROTO_IPV6
)

// String returns the family as nft(8) writes it.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// Table names a table. Chains and sets belong to one, and cannot refer to those of another.
type Table struct {
	Family  Family
	Name    string
	Comment string
}

// String returns the table as nft(8) names it.
func (t Table) String() string { return "table " + t.Family.String() + " " + t.Name }

// Chain is a list of rules.
type Chain struct {
	Name    string
	Comment string
	// Hook makes the chain a base chain, where packets enter; its policy is accept.
	Hook *Hook
}

// Hook is where packets enter a base chain.
type Hook struct {
	Type     string // "nat" or "filter"
	Number   uint32
	Priority int32
}

// The netfilter hooks, for Hook.Number.
const (
	Prerouting  uint32 = unix.NF_INET_PRE_ROUTING
	Input       uint32 = unix.NF_INET_LOCAL_IN
	Forward     uint32 = unix.NF_INET_FORWARD
	Output      uint32 = unix.NF_INET_LOCAL_OUT
	Postrouting uint32 = unix.NF_INET_POST_ROUTING
)

// Rule is one rule of a chain.
type Rule struct {
	Chain   string
	Comment string // at most 128 bytes, or nft(8) does not read it
	Exprs   []Expr
	// Digest identifies the expressions as they were written; 0 in a listed rule that another program wrote.
	// The kernel gives expressions back in a form of its own, so rules are compared by this.
	Digest uint64
}

// Set is a set or, where it has data, a map. Its elements are separate.
type Set struct {
	Name             string
	Flags            uint32 // NFT_SET_…
	KeyType, KeyLen  uint32
	DataType         uint32 // verdictType for a verdict map
	DataLen          uint32 // 0 for a verdict map
	Size             uint32 // the largest number of elements; 0: no limit
	Timeout          time.Duration
	Userdata         string // as bytes: the comment and, for nft(8), what the parts of key and data are
	keyParts, values []Field
}

// IsMap reports whether elements have data.
func (s *Set) IsMap() bool { return s.Flags&unix.NFT_SET_MAP != 0 }

// IsVerdictMap reports whether the elements' data are verdicts.
func (s *Set) IsVerdictMap() bool { return s.IsMap() && s.DataType == verdictType }

// SameLayout reports whether two sets differ in nothing but their elements.
func (s *Set) SameLayout(o *Set) bool {
	return s.Name == o.Name && s.Flags == o.Flags && s.KeyType == o.KeyType && s.KeyLen == o.KeyLen &&
		s.DataType == o.DataType && s.DataLen == o.DataLen && s.Size == o.Size && s.Timeout == o.Timeout &&
		s.Userdata == o.Userdata
}

// Verdict is what a rule or an element of a verdict map does with a packet.
type Verdict struct {
	Code  int32
	Chain string // the target of a jump or goto
}

// The verdict codes (linux/netfilter.h, linux/netfilter/nf_tables.h).
const (
	Drop   int32 = 0
	Accept int32 = 1
	Jump   int32 = -3
	Goto   int32 = -4
	Return int32 = -5
)

// String returns the verdict as nft(8) writes it.
func (v Verdict) String() string {
	switch v.Code {
	case Drop:
		return "drop"
	case Accept:
		return "accept"
	case Return:
		return "return"
	case Jump:
		return "jump " + v.Chain
	case Goto:
		return "goto " + v.Chain
	}
	return fmt.Sprintf("verdict %d %s", v.Code, v.Chain)
}

// Element is an element of a set. Its byte slices are valid only during the call they are passed to.
type Element struct {
	Key, Data []byte
	Verdict   Verdict // of a verdict map
}

// Listing is what the kernel holds of a table, without the sets' elements.
type Listing struct {
	Chains []Chain
	Sets   []Set
	Rules  []Rule // of all chains; those of one chain in their order
}
