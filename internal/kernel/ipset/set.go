package ipset

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Kind is what the elements of a set consist of, by the kernel's name for it.
type Kind string

// The kinds in use.
const (
	IP         Kind = "hash:ip"           // Entry.Net, a single address
	NetPort    Kind = "hash:net,port"     // Entry.Net, Protocol and Port
	NetPortNet Kind = "hash:net,port,net" // the same and Entry.Peer
	NetNet     Kind = "hash:net,net"      // Entry.Net and Entry.Peer
)

// Module returns the end of the name of the kernel module that has a kind.
func (k Kind) Module() string { return strings.NewReplacer(":", "_", ",", "").Replace(string(k)) }

// Set is a set without its elements.
type Set struct {
	Name   string
	Kind   Kind
	Family model.Family
	// Marks gives each element a packet mark, which the SET target of iptables(8) can give to packets
	// (option skbinfo). Kernel 4.1 and later.
	Marks bool
}

// Entry is an element. A prefix has at least one bit: the kernel has no networks of length 0.
type Entry struct {
	Net      netip.Prefix
	Protocol uint8
	Port     uint16
	Peer     netip.Prefix
	// Mark is not part of the key: adding an element that is there changes its mark, all 32 bits of it.
	Mark uint32
}

// Compare orders entries by their keys.
func (e Entry) Compare(o Entry) int {
	return cmp.Or(comparePrefixes(e.Net, o.Net), cmp.Compare(e.Protocol, o.Protocol), cmp.Compare(e.Port, o.Port),
		comparePrefixes(e.Peer, o.Peer))
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// String returns the entry as ipset(8) writes it.
func (e Entry) String() string {
	text := ""
	if e.Net.IsValid() {
		text = prefixText(e.Net)
	}
	if e.Protocol != 0 {
		text += fmt.Sprintf(",%s:%d", model.Protocol(e.Protocol), e.Port)
	}
	if e.Peer.IsValid() {
		text += "," + prefixText(e.Peer)
	}
	if e.Mark != 0 {
		text += fmt.Sprintf(" skbmark %#x", e.Mark)
	}
	return text
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Errors to tell apart.
var (
	// ErrUnsupported: the kernel has no ip_set, or not this kind of set.
	ErrUnsupported = errors.New("the kernel does not have it")
	// ErrNotExist: there is no such set.
	ErrNotExist = errors.New("there is no such set")
	// ErrOther: there is a set of this name that is of another kind.
	ErrOther = errors.New("there is another set of this name")
	// ErrBusy: a rule uses the set.
	ErrBusy = errors.New("the set is in use")
)
