package nft

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// kernel is what Conn and Fake have in common.
type kernel interface {
	Run(ctx context.Context, tx *Transaction) error
	List(ctx context.Context, t Table) (*Listing, error)
	Elements(ctx context.Context, t Table, set string, restart func(), visit func(Element)) error
	Generation(ctx context.Context) (uint32, error)
}

// eachKernel runs a test on the real kernel and on a Fake: what it shows holds for both.
func eachKernel(t *testing.T, test func(t *testing.T, k kernel)) {
	ns := lab.ForTest(t).Namespace("ns")
	t.Run("kernel", func(t *testing.T) { test(t, connIn(t, ns)) })
	t.Run("fake", func(t *testing.T) { test(t, &Fake{}) })
}

func connIn(tb testing.TB, ns *lab.Namespace) *Conn {
	tb.Helper()
	var conn *Conn
	err := ns.Do(func() (err error) {
		conn, err = Open()
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

var (
	table  = Table{Family: IPv4, Name: "t", Comment: "for tests"}
	hosts  = NewSet("hosts", "some hosts", DestinationAddress(IPv4))
	routes = NewVerdictMap("routes", "where to go", DestinationAddress(IPv4), Protocol(), Port())
	nexts  = NewMap("nexts", "where to send", []Field{DestinationAddress(IPv4), Number()}, []Field{DestinationAddress(IPv4), Port()})
	recent = NewDynamicMap("recent", "who was sent where", []Field{SourceAddress(IPv4), Number()}, []Field{DestinationAddress(IPv4), Port()}, 16, time.Hour)
)

// setUp makes a table with sets and a chain.
func setUp(tx *Transaction) {
	tx.AddTable(table)
	for _, s := range []Set{hosts, routes, nexts, recent} {
		tx.AddSet(table, &s)
	}
	tx.AddChain(table, Chain{Name: "a", Comment: "first"})
	tx.AddRule(table, Rule{Chain: "a", Comment: "all", Exprs: []Expr{Take(Verdict{Code: Drop})}})
	tx.AddElement(table, &hosts, []byte{192, 0, 2, 1}, nil)
	tx.AddVerdict(table, &routes, []byte{192, 0, 2, 1, 6, 0, 0, 0, 0, 80, 0, 0}, Verdict{Goto, "a"})
}

// refused are transactions that neither the kernel nor Fake takes, on top of setUp.
var refused = []struct {
	name   string
	add    func(tx *Transaction)
	errno  unix.Errno
	change string
}{
	{"duplicate table", func(tx *Transaction) { tx.AddTable(table) }, unix.EEXIST, "add table ip t"},
	{"missing table", func(tx *Transaction) { tx.AddChain(Table{Family: IPv4, Name: "x"}, Chain{Name: "b"}) }, unix.ENOENT, "add chain b in table ip x"},
	{"delete missing table", func(tx *Transaction) { tx.DeleteTable(Table{Family: IPv6, Name: "t"}) }, unix.ENOENT, "delete table ip6 t"},
	{"duplicate chain", func(tx *Transaction) { tx.AddChain(table, Chain{Name: "a"}) }, unix.EEXIST, "add chain a in table ip t"},
	{"chain in use", func(tx *Transaction) { tx.DeleteChain(table, "a") }, unix.EBUSY, "delete chain a in table ip t"},
	{"missing chain", func(tx *Transaction) { tx.DeleteChain(table, "b") }, unix.ENOENT, "delete chain b in table ip t"},
	{"rule in missing chain", func(tx *Transaction) { tx.AddRule(table, Rule{Chain: "b"}) }, unix.ENOENT, "add a rule to chain b in table ip t: "},
	{"flush missing chain", func(tx *Transaction) { tx.FlushChain(table, "b") }, unix.ENOENT, "flush chain b in table ip t"},
	{"rule to missing chain", func(tx *Transaction) {
		tx.AddRule(table, Rule{Chain: "a", Exprs: []Expr{Take(Verdict{Goto, "b"})}})
	}, unix.ENOENT, "add a rule to chain a in table ip t: goto b"},
	{"rule with missing set", func(tx *Transaction) {
		tx.AddRule(table, Rule{Chain: "a", Exprs: []Expr{LoadDestination(IPv4, 0), Lookup("x", 0)}})
	}, unix.ENOENT, "add a rule to chain a in table ip t: ip daddr @x"},
	{"duplicate set", func(tx *Transaction) { tx.AddSet(table, &hosts) }, unix.EEXIST, "add set hosts in table ip t"},
	{"duplicate element", func(tx *Transaction) {
		tx.AddElement(table, &hosts, []byte{192, 0, 2, 2}, nil)
		tx.AddElement(table, &hosts, []byte{192, 0, 2, 1}, nil)
	}, unix.EEXIST, "add to set hosts in table ip t: "},
	{"missing element", func(tx *Transaction) { tx.DeleteElement(table, &hosts, []byte{192, 0, 2, 2}) }, unix.ENOENT, "delete from set hosts in table ip t: c0 00 02 02"},
	{"element of missing set", func(tx *Transaction) { tx.AddElement(table, &Set{Name: "x"}, []byte{1, 2, 3, 4}, nil) }, unix.ENOENT, "add to set x in table ip t: 01 02 03 04"},
	{"verdict to missing chain", func(tx *Transaction) {
		tx.AddVerdict(table, &routes, []byte{192, 0, 2, 2, 6, 0, 0, 0, 0, 80, 0, 0}, Verdict{Goto, "b"})
	}, unix.ENOENT, "add to set routes in table ip t: 192.0.2.2 . tcp . 80"},
	{"key too short", func(tx *Transaction) { tx.AddElement(table, &hosts, []byte{192}, nil) }, unix.EINVAL, "add to set hosts in table ip t: c0"},
}

// TestRefusals shows that a transaction with one wrong change changes nothing, and that the error names the change.
func TestRefusals(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		var tx Transaction
		setUp(&tx)
		if err := k.Run(t.Context(), &tx); err != nil {
			t.Fatal(err)
		}
		before := dump(t, k)
		for _, c := range refused {
			tx.Reset()
			tx.AddElement(table, &hosts, []byte{192, 0, 2, 77}, nil)
			tx.AddChain(table, Chain{Name: "new"})
			c.add(&tx)
			err := k.Run(t.Context(), &tx)
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Errno != c.errno || !strings.HasPrefix(refusal.Change, c.change) {
				t.Errorf("%s: %v; want %q: %v", c.name, err, c.change, c.errno)
			}
			if after := dump(t, k); after != before {
				t.Errorf("%s: the refused transaction changed\n%s\nto\n%s", c.name, before, after)
			}
		}
	})
}

// dump returns what a kernel holds of table.
func dump(t *testing.T, k kernel) string {
	t.Helper()
	l, err := k.List(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if l == nil {
		return "no table"
	}
	text := ""
	for _, c := range l.Chains {
		text += fmt.Sprintf("chain %s %q\n", c.Name, c.Comment)
	}
	for _, r := range l.Rules {
		text += fmt.Sprintf("rule %s %s %q %x\n", r.Chain, r.Text(table.Family), r.Comment, r.Digest)
	}
	for _, s := range l.Sets {
		text += fmt.Sprintf("set %s %+v\n", s.Name, s)
		err := k.Elements(t.Context(), table, s.Name, func() {}, func(e Element) {
			text += fmt.Sprintf("element %s : %s %s\n", FormatKey(s.KeyType, e.Key), FormatKey(s.DataType&0xffffff, e.Data), e.Verdict)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return text
}

// TestReadsBack shows that what is written is listed as it was written, in both kernels.
func TestReadsBack(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		var tx Transaction
		setUp(&tx)
		if err := k.Run(t.Context(), &tx); err != nil {
			t.Fatal(err)
		}
		l, err := k.List(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		want := Rule{Chain: "a", Comment: "all", Exprs: []Expr{Take(Verdict{Code: Drop})}}.WithDigest()
		if len(l.Rules) != 1 || l.Rules[0].Digest != want.Digest || l.Rules[0].Text(IPv4) != "drop" {
			t.Errorf("rules %+v", l.Rules)
		}
		found := 0
		for _, s := range l.Sets {
			for _, w := range []Set{hosts, routes, nexts, recent} {
				if s.Name == w.Name && !s.SameLayout(&w) {
					t.Errorf("set %s: %+v; want %+v", s.Name, s, w)
				} else if s.Name == w.Name {
					found++
				}
			}
		}
		if found != 4 {
			t.Errorf("%d of 4 sets: %+v", found, l.Sets)
		}
	})
}

// TestGenerationCountsTransactions shows that each transaction counts, and no failed or empty one.
func TestGenerationCountsTransactions(t *testing.T) {
	eachKernel(t, func(t *testing.T, k kernel) {
		before, err := k.Generation(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var tx Transaction
		for range 2 {
			setUp(&tx)
			_ = k.Run(t.Context(), &tx) // the second one fails
			tx.Reset()
			if err := k.Run(t.Context(), &tx); err != nil {
				t.Errorf("an empty transaction: %v", err)
			}
		}
		if after, err := k.Generation(t.Context()); err != nil || after != before+1 {
			t.Errorf("generation %d, %v; want %d", after, err, before+1)
		}
	})
}

// TestLargeTransaction adds more elements than fit in one attribute, and lists them.
func TestLargeTransaction(t *testing.T) {
	const n = 30000
	eachKernel(t, func(t *testing.T, k kernel) {
		var tx Transaction
		setUp(&tx)
		for i := range n {
			tx.AddElement(table, &nexts, []byte{10, 0, byte(i >> 8), byte(i), 0, 0, 0, 0}, []byte{10, 1, byte(i >> 8), byte(i), 0, 80, 0, 0})
		}
		if err := k.Run(t.Context(), &tx); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for try := 0; len(seen) < n && try < 10; try++ {
			err := k.Elements(t.Context(), table, nexts.Name, func() {}, func(e Element) {
				seen[string(e.Key)] = e.Data[0] == 10 && e.Data[1] == 1
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(seen) != n {
			t.Errorf("%d elements; want %d", len(seen), n)
		}
	})
}

// TestFakeLateRelease shows the behaviour of kernels before 6.2.
func TestFakeLateRelease(t *testing.T) {
	f := &Fake{LateRelease: true}
	var tx Transaction
	setUp(&tx)
	if err := f.Run(t.Context(), &tx); err != nil {
		t.Fatal(err)
	}
	key := []byte{192, 0, 2, 1, 6, 0, 0, 0, 0, 80, 0, 0}
	tx.Reset()
	tx.DeleteElement(table, &routes, key)
	tx.DeleteChain(table, "a")
	if err := f.Run(t.Context(), &tx); !IsBusy(err) {
		t.Errorf("deleting a chain with the element that led to it: %v; want EBUSY", err)
	}
	for i, change := range []func(){
		func() { tx.DeleteElement(table, &routes, key) }, func() { tx.DeleteChain(table, "a") }, func() { tx.DeleteChain(table, "a") },
	} {
		tx.Reset()
		change()
		if err := f.Run(t.Context(), &tx); IsBusy(err) != (i == 1) {
			t.Errorf("transaction %d: %v; want EBUSY for the chain soon after the element, and only then", i, err)
		}
	}
}
