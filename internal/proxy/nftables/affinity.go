package nftables

import (
	"fmt"
	"hash/fnv"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// affinityIDs numbers the Service ports that remember their clients. A number is the hash of the port's name, so that
// the kernel's memory stays valid when the process restarts; where two names have the same hash, the one that came
// first keeps it, and the other is hashed again with a suffix.
type affinityIDs struct {
	numbers map[string]uint32
	names   map[uint32]string
}

func newAffinityIDs() *affinityIDs {
	return &affinityIDs{numbers: map[string]uint32{}, names: map[uint32]string{}}
}

// of returns the number of a port's pool. The two pools of a port, of all endpoints and of those on this node, remember
// separately: an endpoint elsewhere must not be used where the policy is Local.
func (a *affinityIDs) of(port string, local bool) uint32 {
	if local {
		port += " local"
	}
	if id, ok := a.numbers[port]; ok {
		return id
	}
	for try := 0; ; try++ {
		h := fnv.New32a()
		fmt.Fprint(h, port)
		if try > 0 {
			fmt.Fprintf(h, " %d", try)
		}
		// Without the highest bit, for tools that read it as a signed number; 0 would not be printed as an offset.
		id := h.Sum32()&^(1<<31) | 1<<30
		if _, taken := a.names[id]; !taken {
			a.numbers[port], a.names[id] = id, port
			return id
		}
	}
}

// learnFrontend adds the elements by which the kernel remembers where clients of a frontend were sent.
func (r *renderer) learnFrontend(f *plan.Frontend) {
	set := learn
	if f.Key.AnyNode() {
		set = learnNodePorts
	}
	here, others := r.pool(f.LocalClientPool), r.pool(f.Pool)
	remembers := func(p *plan.Pool) bool { return p != nil && p.Affinity != 0 }
	switch {
	case remembers(here):
		r.verdict(set, f.Key, nft.Verdict{Code: nft.Goto, Chain: r.rememberFromHere(f, here, others)})
	case remembers(others):
		r.verdict(set, f.Key, nft.Verdict{Code: nft.Goto, Chain: r.rememberChain(others)})
	case !f.Key.AnyNode() && r.node.NodePorts.AnyLocal && (here != nil || others != nil) && !r.isClusterIP(f.Key):
		// Any address may be the node's own here, so the port alone would be taken for a node port.
		r.verdict(set, f.Key, nft.Verdict{Code: nft.Return})
	}
}

func (r *renderer) isClusterIP(k plan.Key) bool {
	for _, a := range r.service.ClusterIPs {
		if a == k.Addr {
			return true
		}
	}
	return false
}

// rememberChain returns the chain that remembers the endpoint of a pool that a client was sent to.
func (r *renderer) rememberChain(p *plan.Pool) string {
	port := portName(r.service.Ref, p)
	name := poolKind(p, false) + "learn-" + port
	return r.use(name, func() *chain {
		return named(name, "", r.remember(r.ids.of(port, p.Local), p.Affinity))
	})
}

// rememberFromHere does so where clients on this node use one pool and others another; others may be nil.
func (r *renderer) rememberFromHere(f *plan.Frontend, here, others *plan.Pool) string {
	target := r.rememberChain(here)
	elsewhere := ""
	if f.Verdict == plan.Forward && others != nil && others.Affinity != 0 {
		elsewhere = r.rememberChain(others)
	}
	name := "from-here-" + target
	if elsewhere != "" {
		name += "-else-local"
	}
	return r.use(name, func() *chain {
		c := named(name, "")
		for _, pods := range r.fromPods(false) {
			c.rules = append(c.rules, rule("", pods, goTo(target)))
		}
		c.rules = append(c.rules, rule("", fromNode(), goTo(target)))
		if elsewhere != "" {
			c.rules = append(c.rules, rule("", goTo(elsewhere)))
		}
		return c
	})
}
