package proxytest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy"
)

// TestReference holds the harness itself against a kernel: with the plainest rules that carry out a plan, the whole table
// must come out as written. (A packet may meet these rules half replaced, once in some ten thousand.)
func TestReference(t *testing.T) {
	newBackend := func(_ testing.TB, node *lab.Namespace) proxy.Backend { return &reference{node: node} }
	run(t, newBackend, "Rule31_ChangesUnderLoad", "Rule32_RestartUnderLoad")
}

// reference is a Backend that writes all rules anew at every Sync, through nft, with a rule for everything.
type reference struct {
	node *lab.Namespace
	sets map[string]bool // of affinity, in the kernel
}

func (r *reference) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	rules := newRuleset(u.Plan)
	text := rules.text()
	for set := range r.sets {
		if !rules.sets[set] {
			text += "flush set inet reference " + set + "\n"
		}
	}
	r.sets = rules.sets
	return plan.Report{}, r.load(ctx, text)
}

func (r *reference) Cleanup(ctx context.Context) error {
	return r.load(ctx, "add table inet reference\ndelete table inet reference\n")
}

func (r *reference) load(ctx context.Context, text string) error {
	cmd := r.node.Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s\n%s", err, out, text)
	}
	return nil
}

// ruleset collects the rules of the chains, in order.
type ruleset struct {
	plan                           *plan.Plan
	early, nat, filter, masquerade []string
	extra                          []string // further chains and sets
	sets                           map[string]bool
}

func newRuleset(p *plan.Plan) *ruleset {
	r := &ruleset{plan: p, sets: map[string]bool{}}
	var clusterIPs []string
	if p.Node.DropInvalid {
		r.filter = append(r.filter, "ct state invalid drop")
	}
	for _, s := range p.Services.All() {
		name := strings.NewReplacer("/", "_", "-", "_").Replace("s_" + s.Ref.String())
		for i, pool := range s.Pools {
			r.pool(fmt.Sprintf("%s_%d", name, i), name, pool)
		}
		for _, f := range s.Frontends {
			r.frontend(name, f)
		}
		for _, ip := range s.ClusterIPs {
			clusterIPs = append(clusterIPs, family(model.FamilyOf(ip))+" daddr "+ip.String()+" reject")
		}
	}
	r.filter = append(r.filter, clusterIPs...)
	for _, c := range p.Node.ServiceCIDRs {
		r.filter = append(r.filter, fmt.Sprintf("%s daddr %s drop", family(model.FamilyOf(c.Addr())), c))
	}
	return r
}

// text returns what nft loads: all rules are replaced in one transaction; sets, which
// hold the affinity, stay.
func (r *ruleset) text() string {
	var b strings.Builder
	b.WriteString("add table inet reference\nflush table inet reference\ntable inet reference {\n")
	b.WriteString(strings.Join(r.extra, "\n") + "\n")
	chain := func(name, rules string, list []string) {
		fmt.Fprintf(&b, "chain %s {\n%s\n%s\n}\n", name, rules, strings.Join(list, "\n"))
	}
	for _, hook := range []string{"prerouting", "output"} {
		chain("early_"+hook, "type filter hook "+hook+" priority -110;", r.early)
		chain("nat_"+hook, "type nat hook "+hook+" priority -100;", r.nat)
	}
	for _, hook := range []string{"input", "forward", "output"} {
		chain("filter_"+hook, "type filter hook "+hook+" priority 0; ct state established,related accept", r.filter)
	}
	chain("source", "type nat hook postrouting priority 100;\nmeta mark and 0x4000 != 0 masquerade fully-random", r.masquerade)
	return b.String() + "}\n"
}

// pool adds a chain that chooses an endpoint, and one for each endpoint.
func (r *ruleset) pool(chain, service string, p plan.Pool) {
	ip, protocol := family(p.Family), strings.ToLower(p.Protocol.String())
	var sticky, choices, chains []string
	for i, e := range p.Endpoints {
		target := fmt.Sprintf("%s_%d", chain, i)
		learn := ""
		if p.Affinity > 0 {
			set := strings.NewReplacer(".", "_", ":", "_", "[", "", "]", "").Replace(fmt.Sprintf("aff_%s_%s_%s", service, protocol, e.Addr))
			if !r.sets[set] {
				r.sets[set] = true
				r.extra = append(r.extra, fmt.Sprintf("set %s { type %sv%d_addr; size 1024; flags dynamic,timeout; timeout %s; }", set, "ip", p.Family, p.Affinity))
			}
			sticky = append(sticky, fmt.Sprintf("%s saddr @%s goto %s", ip, set, target))
			learn = fmt.Sprintf("update @%s { %s saddr }\n", set, ip)
		}
		choices = append(choices, fmt.Sprintf("%d : goto %s", i, target))
		chains = append(chains, fmt.Sprintf("chain %s {\n%smeta l4proto %s dnat %s to %s\n}", target, learn, protocol, ip, e.Addr))
		if e.Local {
			r.masquerade = append(r.masquerade, fmt.Sprintf("ct status dnat %s saddr %s %s daddr %s masquerade", ip, e.Addr.Addr(), ip, e.Addr.Addr()))
		}
	}
	r.extra = append(r.extra, chains...)
	r.extra = append(r.extra, fmt.Sprintf("chain %s {\n%s\nnumgen random mod %d vmap { %s }\n}",
		chain, strings.Join(sticky, "\n"), len(choices), strings.Join(choices, ", ")))
}

// frontend adds the rules of one frontend.
func (r *ruleset) frontend(service string, f plan.Frontend) {
	for _, match := range r.match(f.Key) {
		ip := family(f.Key.Family())
		if f.Sources != nil {
			var sources []string
			for _, s := range f.Sources {
				sources = append(sources, s.String())
			}
			r.early = append(r.early, fmt.Sprintf("%s %s saddr != { %s } drop", match, ip, strings.Join(sources, ", ")))
		}
		is, isNot := r.localPod(f.Key.Family())
		const mark = " meta mark set mark or 0x4000"
		if f.LocalClientPool != plan.NoPool {
			target := fmt.Sprintf(" goto %s_%d", service, f.LocalClientPool)
			if is != "" {
				r.nat = append(r.nat, match+is+target)
			}
			r.nat = append(r.nat, match+" fib saddr type local"+mark, match+" fib saddr type local"+target)
		}
		switch f.Masquerade {
		case plan.MasqueradeAlways:
			r.nat = append(r.nat, match+mark)
		case plan.MasqueradeOffCluster:
			r.nat = append(r.nat, match+isNot+mark)
		}
		switch f.Verdict {
		case plan.Forward:
			r.nat = append(r.nat, fmt.Sprintf("%s goto %s_%d", match, service, f.Pool))
		default:
			r.filter = append(r.filter, match+" "+f.Verdict.String())
		}
	}
}

// match returns the conditions of which one must hold for a key.
func (r *ruleset) match(k plan.Key) []string {
	ip := family(k.Family())
	port := fmt.Sprintf(" %s dport %d", strings.ToLower(k.Protocol.String()), k.Port)
	if !k.AnyNode() {
		return []string{ip + " daddr " + k.Addr.String() + port}
	}
	var out []string
	if r.plan.Node.NodePorts.AnyLocal {
		loopback := map[model.Family]string{model.IPv4: "127.0.0.0/8", model.IPv6: "::1"}[k.Family()]
		out = append(out, fmt.Sprintf("fib daddr type local %s daddr != %s%s", ip, loopback, port))
	}
	for _, a := range r.plan.Node.NodePorts.Addrs {
		if model.FamilyOf(a) == k.Family() {
			out = append(out, ip+" daddr "+a.String()+port)
		}
	}
	return out
}

// localPod returns the conditions for a packet of a pod, and for any other packet.
func (r *ruleset) localPod(f model.Family) (is, isNot string) {
	switch l := r.plan.Node.LocalPods; {
	case l.Interface != "":
		return " iifname " + l.Interface, " iifname != " + l.Interface
	case l.InterfacePrefix != "":
		return " iifname " + l.InterfacePrefix + "*", " iifname != " + l.InterfacePrefix + "*"
	default:
		var networks []string
		for _, p := range l.Sources {
			if model.FamilyOf(netip.Prefix.Addr(p)) == f {
				networks = append(networks, p.String())
			}
		}
		if networks == nil {
			return "", ""
		}
		set := "{ " + strings.Join(networks, ", ") + " }"
		return " " + family(f) + " saddr " + set, " " + family(f) + " saddr != " + set
	}
}

func family(f model.Family) string {
	if f == model.IPv4 {
		return "ip"
	}
	return "ip6"
}
