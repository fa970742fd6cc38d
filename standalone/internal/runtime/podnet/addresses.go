package podnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Pool hands out the addresses of a node's pod networks, one of each family at a time, in a ring: an address comes back
// last after it was released, so that what still talks to a dead pod does not reach a new one.
type Pool struct {
	prefixes []netip.Prefix
	cursor   string // file that keeps next over a restart
	size     uint64 // usable positions, the gateway's not counted

	mu   sync.Mutex
	next uint64
	used map[uint64]bool
}

// firstPod is the position of the first pod's address: 0 is the network's, 1 the gateway's.
const firstPod = 2

// ErrFull says that every address of a pod network is in use.
var ErrFull = errors.New("all addresses of the pod network are in use")

// NewPool makes a pool of one prefix of each family, or of one family. cursor is a file that it may write.
func NewPool(prefixes []netip.Prefix, cursor string) (*Pool, error) {
	if len(prefixes) == 0 || len(prefixes) > 2 {
		return nil, fmt.Errorf("pod networks %v: give one of each IP family, or one", prefixes)
	}
	p := &Pool{cursor: cursor, used: map[uint64]bool{}, size: 1 << 16}
	for i, prefix := range prefixes {
		if i == 1 && prefix.Addr().Is4() == prefixes[0].Addr().Is4() {
			return nil, fmt.Errorf("pod networks %v are of the same IP family: give one of each", prefixes)
		}
		size, err := usable(prefix)
		if err != nil {
			return nil, err
		}
		p.size = min(p.size, size)
		p.prefixes = append(p.prefixes, prefix.Masked())
	}
	if text, err := os.ReadFile(cursor); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			p.next = n % p.size
		}
	}
	return p, nil
}

// usable counts the pods that fit beside the network's own address, the gateway's and, with IPv4, the broadcast address.
func usable(prefix netip.Prefix) (uint64, error) {
	bits := prefix.Addr().BitLen() - prefix.Bits()
	if bits < 2 {
		return 0, fmt.Errorf("pod network %s is too small: it needs at least 4 addresses", prefix)
	}
	reserved := uint64(firstPod)
	if prefix.Addr().Is4() {
		reserved++
	}
	return 1<<min(bits, 32) - reserved, nil
}

// Gateways are the addresses of the node's ends, one of each family, in the order of the prefixes.
func (p *Pool) Gateways() []netip.Addr { return p.at(firstPod - 1) }

// Take reserves an address of each family, in the order of the prefixes.
func (p *Pool) Take() ([]netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.size {
		position := p.next
		p.next = (p.next + 1) % p.size
		if p.used[position] {
			continue
		}
		if err := os.WriteFile(p.cursor, []byte(strconv.FormatUint(p.next, 10)), 0o600); err != nil {
			return nil, fmt.Errorf("remember the last pod address: %w", err)
		}
		p.used[position] = true
		return p.at(firstPod + position), nil
	}
	return nil, fmt.Errorf("%w (%v)", ErrFull, p.prefixes)
}

// Release gives back what Take returned.
func (p *Pool) Release(addrs []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for position := range p.used {
		if p.at(firstPod + position)[0] == addrs[0] {
			delete(p.used, position)
			return
		}
	}
}

func (p *Pool) at(position uint64) []netip.Addr {
	addrs := make([]netip.Addr, len(p.prefixes))
	for i, prefix := range p.prefixes {
		addrs[i] = add(prefix.Addr(), position)
	}
	return addrs
}

func add(addr netip.Addr, n uint64) netip.Addr {
	raw := addr.AsSlice()
	for i := len(raw) - 1; i >= 0 && n > 0; i-- {
		n += uint64(raw[i])
		raw[i] = byte(n)
		n >>= 8
	}
	sum, _ := netip.AddrFromSlice(raw) // a slice of an address's own length
	return sum
}
