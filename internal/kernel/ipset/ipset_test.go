package ipset

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/model"
)

// comparer compares prefixes, which cmp cannot look into.
var comparer = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// sets are one of each kind, with elements.
func sets() map[Set][]Entry {
	net := netip.MustParsePrefix
	return map[Set][]Entry{
		{Name: "ips", Kind: IP, Family: model.IPv4}:       {{Net: net("192.0.2.1/32")}, {Net: net("192.0.2.2/32")}},
		{Name: "ips6", Kind: IP, Family: model.IPv6}:      {{Net: net("2001:db8::1/128")}},
		{Name: "pairs", Kind: NetNet, Family: model.IPv4}: {{Net: net("10.1.0.2/32"), Peer: net("10.1.0.2/32")}},
		{Name: "marks", Kind: NetPort, Family: model.IPv4, Marks: true}: {
			{Net: net("0.0.0.0/1"), Protocol: 17, Port: 30000, Mark: 0xfffffffe},
			{Net: net("10.96.0.1/32"), Protocol: 6, Port: 80, Mark: 0x8010},
			{Net: net("10.96.0.1/32"), Protocol: 132, Port: 80, Mark: 1},
		},
		{Name: "marks6", Kind: NetPort, Family: model.IPv6, Marks: true}: {{Net: net("8000::/1"), Protocol: 6, Port: 30000, Mark: 7}},
		{Name: "clients", Kind: NetPortNet, Family: model.IPv6}: {
			{Net: net("fd00::1/128"), Protocol: 6, Port: 80, Peer: net("2001:db8::/32")},
		},
	}
}

// ipSet is what Conn and Fake do alike.
type ipSet interface {
	Create(ctx context.Context, s Set) error
	Destroy(ctx context.Context, s Set) error
	List(ctx context.Context, s Set) ([]Entry, error)
	Add(ctx context.Context, s Set, list []Entry) error
	Delete(ctx context.Context, s Set, list []Entry) error
}

// TestFake and TestKernel: what is added is listed, with the marks that it was given last. The kernel is that of a guest,
// which has all kinds.
func TestFake(t *testing.T) {
	for s, entries := range sets() {
		testSet(t, &Fake{}, s, entries)
	}
}

func TestKernel(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		var conn *Conn
		ns := lab.ForTest(t).Namespace("node")
		if err := ns.Do(func() (err error) { conn, err = Open(); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		for s, entries := range sets() {
			testSet(t, conn, s, entries)
		}
	})
}

func testSet(t *testing.T, kernel ipSet, s Set, entries []Entry) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kernel.List(t.Context(), s); !errors.Is(err, ErrNotExist) {
		t.Fatalf("%s, before it is made: %v", s.Name, err)
	}
	must(kernel.Create(t.Context(), s))
	if err := kernel.Create(t.Context(), s); !errors.Is(err, ErrOther) {
		t.Errorf("%s, made twice: %v", s.Name, err)
	}
	other := s
	other.Kind = "hash:other"
	if _, err := kernel.List(t.Context(), other); !errors.Is(err, ErrOther) {
		t.Errorf("%s, taken for another: %v", s.Name, err)
	}
	first := slices.Clone(entries)
	for i := range first {
		if s.Marks {
			first[i].Mark = 99
		}
	}
	must(kernel.Add(t.Context(), s, first))
	must(kernel.Add(t.Context(), s, entries))
	got, err := kernel.List(t.Context(), s)
	must(err)
	slices.SortFunc(got, Entry.Compare)
	if diff := cmp.Diff(entries, got, comparer); diff != "" {
		t.Errorf("%s (-added +listed):\n%s", s.Name, diff)
	}
	must(kernel.Delete(t.Context(), s, entries[:1]))
	must(kernel.Delete(t.Context(), s, entries[:1]))
	if got, err := kernel.List(t.Context(), s); err != nil || len(got) != len(entries)-1 {
		t.Errorf("%s, after one is deleted: %v %v", s.Name, got, err)
	}
	must(kernel.Destroy(t.Context(), s))
	if err := kernel.Destroy(t.Context(), s); !errors.Is(err, ErrNotExist) {
		t.Errorf("%s, destroyed twice: %v", s.Name, err)
	}
}

// FuzzDecode: no message makes the reader panic.
func FuzzDecode(f *testing.F) {
	for s, entries := range sets() {
		var w writer
		w.begin(cmdAdd, 0, 1, s.Family, s.Name)
		nest := w.nest(attrElements)
		w.entry(&s, &entries[0])
		w.endNest(nest)
		f.Add(w.message()[headerLen+familyLen:])
	}
	f.Fuzz(func(_ *testing.T, body []byte) {
		var s Set
		_ = decode(body, &s, func(Entry) {})
	})
}
