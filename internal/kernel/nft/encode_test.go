package nft

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// vocabulary is a rule of each kind that there is, with what nft(8) makes of it.
func vocabulary(f Family) []Rule {
	width := uint32(1)
	prefix := netip.MustParsePrefix("10.1.2.128/25")
	if f == IPv6 {
		width, prefix = 4, netip.MustParsePrefix("fd00:1::/64")
	}
	bit, rest, none := []byte{0, 0x40, 0, 0}, []byte{0xff, 0xbf, 0xff, 0xff}, make([]byte, 4)
	name := make([]byte, 16)
	copy(name, "br0")
	key := []Expr{LoadDestination(f, 0), LoadProtocol(width), LoadPort(width + 1)}
	join := func(parts ...[]Expr) (r Rule) {
		for _, p := range parts {
			r.Exprs = append(r.Exprs, p...)
		}
		return r
	}
	one := func(e ...Expr) []Expr { return e }
	list := []Rule{
		join(key, one(VerdictLookup("routes", 0))),
		join(key, one(Random(3, 0, width+2), MapLookup("indexed", 0), Translate(f, 0, width))),
		join(one(LoadSource(f, 0), Random(1, 7, width), MapLookup("recent", 0), Translate(f, 0, width))),
		join(one(LoadSource(f, 0), Random(1, 7, width), LoadDestination(f, 8), LoadPort(8+width), Update("recent", 0, 8, 90*time.Second))),
		join(one(LoadStatus(0)), HasBit(0, TranslatedStatus), one(LoadOriginalDestination(f, 0), LoadProtocol(width), LoadOriginalPort(width+1), VerdictLookup("routes", 0))),
		join(one(LoadOriginalDestination(f, 0), NotLookup("hosts", 0), Take(Verdict{Code: Return}))),
		join(one(LoadMark(0), Bitwise(0, rest, bit), SetMark(0))),
		join(one(LoadMark(0), Bitwise(0, bit, none), NotEqual(0, none), LoadMark(0), Bitwise(0, rest, none), SetMark(0))),
		join(one(LoadSource(f, 0)), InPrefix(0, prefix, false), one(Take(Verdict{Code: Accept}))),
		join(one(LoadSource(f, 0)), InPrefix(0, prefix, true), one(Take(Verdict{Jump, "target"}))),
		join(one(LoadInterface(0), Equal(0, name), Take(Verdict{Goto, "target"}))),
		join(one(LoadInterface(0), NotEqual(0, []byte("veth")), Take(Verdict{Code: Drop}))),
		join(one(LoadSourceType(0), Equal(0, LocalType()), Take(Verdict{Code: Drop}))),
		join(one(LoadDestinationType(0), Equal(0, LocalType()), LoadDestination(f, 0), Lookup("hosts", 0), Take(Verdict{Code: Drop}))),
		join(one(LoadState(0)), HasBit(0, InvalidState), one(Take(Verdict{Code: Drop}))),
		join(one(Reject(f))),
		join(one(LoadConnectionMark(0), Bitwise(0, rest, bit), SetConnectionMark(0))),
		join(one(LoadDirection(0), Equal(0, ReplyDirection()), LoadConnectionMark(0), Bitwise(0, bit, none), NotEqual(0, none), Take(Verdict{Code: Accept}))),
		join(one(LoadProtocol(0), Equal(0, []byte{unix.IPPROTO_TCP}), Reset())),
	}
	for i := range list {
		list[i].Chain, list[i].Comment = "rules", fmt.Sprintf("rule %d", i)
	}
	return list
}

// proxied are rules of the kinds that only chains of type filter at prerouting may have.
func proxied(f Family) []Rule {
	to := netip.MustParseAddrPort("127.0.0.1:10264")
	if f == IPv6 {
		to = netip.MustParseAddrPort("[::1]:10264")
	}
	return []Rule{
		{Chain: "proxied", Exprs: append(TransparentProxy(to, 0), Take(Verdict{Code: Accept})), Comment: "proxied"},
		{Chain: "proxied", Exprs: []Expr{LoadSocketWildcard(0), Equal(0, []byte{1}), Take(Verdict{Code: Return})}, Comment: "socket of all addresses"},
		{Chain: "proxied", Exprs: []Expr{LoadSocketTransparent(0), Equal(0, []byte{0}), NoTrack()}, Comment: "socket of one address"},
		{Chain: "proxied", Exprs: []Expr{LoadSourcePort(0), Equal(0, []byte{0, 53}), Take(Verdict{Code: Accept})}, Comment: "from a port"},
	}
}

// write encodes the vocabulary with the table it needs.
func write(tx *Transaction, f Family) {
	t := Table{Family: f, Name: "v", Comment: "all kinds of rules"}
	vip := []Field{DestinationAddress(f), Protocol(), Port()}
	endpoint := []Field{DestinationAddress(f), Port()}
	sets := []Set{
		NewSet("hosts", "", DestinationAddress(f)),
		NewVerdictMap("routes", "", vip...),
		NewMap("indexed", "", append(vip, Number()), endpoint),
		NewDynamicMap("recent", "", []Field{SourceAddress(f), Number()}, endpoint, 100, time.Hour),
	}
	tx.AddTable(t)
	for i := range sets {
		tx.AddSet(t, &sets[i])
	}
	tx.AddChain(t, Chain{Name: "target"})
	tx.AddChain(t, Chain{Name: "rules", Hook: &Hook{"nat", Prerouting, -100}})
	tx.AddChain(t, Chain{Name: "masquerade", Comment: "of the node", Hook: &Hook{"nat", Postrouting, 100}})
	for _, r := range vocabulary(f) {
		tx.AddRule(t, r)
	}
	tx.AddRule(t, Rule{Chain: "masquerade", Exprs: []Expr{Masquerade()}})
	tx.AddChain(t, Chain{Name: "proxied", Hook: &Hook{"filter", Prerouting, -90}})
	for _, r := range proxied(f) {
		tx.AddRule(t, r)
	}
}

// TestGoldenBytes holds the encoding of every object and expression against bytes that the kernel is known to take.
func TestGoldenBytes(t *testing.T) {
	var tx Transaction
	write(&tx, IPv4)
	write(&tx, IPv6)
	const path = "testdata/vocabulary.hex"
	got := hex.Dump(tx.batch())
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

// TestRuleText compares our text of each rule with what nft(8) reads from the kernel.
func TestRuleText(t *testing.T) {
	ns := lab.ForTest(t).Namespace("ns")
	conn := connIn(t, ns)
	for _, f := range []Family{IPv4, IPv6} {
		var tx Transaction
		write(&tx, f)
		if err := conn.Run(t.Context(), &tx); err != nil {
			t.Fatal(err)
		}
		out, err := ns.Command(t.Context(), "nft", "list", "chain", f.String(), "v", "rules").CombinedOutput()
		if err != nil {
			t.Fatalf("nft list chain: %v\n%s", err, out)
		}
		more, err := ns.Command(t.Context(), "nft", "list", "chain", f.String(), "v", "proxied").CombinedOutput()
		if err != nil {
			t.Fatalf("nft list chain: %v\n%s", err, more)
		}
		out = append(out, more...)
		for _, r := range append(vocabulary(f), proxied(f)...) {
			want := fmt.Sprintf("\t\t%s comment %q\n", r.Text(f), r.Comment)
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: nft prints\n%swithout\n%s", f, out, want)
			}
		}
		l, err := conn.List(t.Context(), Table{Family: f, Name: "v"})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range vocabulary(f) {
			if got := l.Rules[i].Text(f); got != r.Text(f) || l.Rules[i].Digest != r.digest() {
				t.Errorf("listed rule %q with digest %x; written %q with %x", got, l.Rules[i].Digest, r.Text(f), r.digest())
			}
		}
	}
}

// TestElementsDoNotAllocate is the reason for an encoder of our own.
func TestElementsDoNotAllocate(t *testing.T) {
	var tx Transaction
	setUp(&tx)
	key, data := make([]byte, 8), make([]byte, 8)
	tx.w.buf = append(make([]byte, 0, 1<<24), tx.w.buf...)
	if n := testing.AllocsPerRun(1000, func() { tx.AddElement(table, &nexts, key, data) }); n != 0 {
		t.Errorf("%.1f allocations per element", n)
	}
}
