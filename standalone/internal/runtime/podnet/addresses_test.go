package podnet

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func newPool(t *testing.T, cursor string, texts ...string) *Pool {
	t.Helper()
	p, err := NewPool(prefixes(texts...), cursor)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func take(t *testing.T, p *Pool) []netip.Addr {
	t.Helper()
	addrs, err := p.Take()
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

func TestPoolIsARing(t *testing.T) {
	p := newPool(t, filepath.Join(t.TempDir(), "cursor"), "10.1.2.0/29", "fd00::ff00/120")
	var got []string
	for range 5 {
		got = append(got, fmt.Sprint(take(t, p)))
	}
	want := []string{
		"[10.1.2.2 fd00::ff02]", "[10.1.2.3 fd00::ff03]", "[10.1.2.4 fd00::ff04]", "[10.1.2.5 fd00::ff05]", "[10.1.2.6 fd00::ff06]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if _, err := p.Take(); !errors.Is(err, ErrFull) {
		t.Errorf("a full pool: error %v", err)
	}
	p.Release([]netip.Addr{netip.MustParseAddr("10.1.2.4"), netip.MustParseAddr("fd00::ff04")})
	if got := take(t, p)[0].String(); got != "10.1.2.4" {
		t.Errorf("the only free address: got %s", got)
	}
	if diff := cmp.Diff("[10.1.2.1 fd00::ff01]", fmt.Sprint(p.Gateways())); diff != "" {
		t.Errorf("gateways (-want +got):\n%s", diff)
	}
}

func TestPoolPrefersAddressesThatRested(t *testing.T) {
	cursor := filepath.Join(t.TempDir(), "cursor")
	p := newPool(t, cursor, "10.1.2.0/24")
	first := take(t, p)
	p.Release(first)
	if second := take(t, p); second[0] == first[0] {
		t.Errorf("%s was just given back", second[0])
	}
	if third := take(t, newPool(t, cursor, "10.1.2.0/24")); third[0].String() != "10.1.2.4" {
		t.Errorf("after a restart: %s, want the next one", third[0])
	}
}

func TestPoolCarries(t *testing.T) {
	p := newPool(t, filepath.Join(t.TempDir(), "cursor"), "10.1.0.0/16")
	for range 254 {
		take(t, p)
	}
	if got := take(t, p)[0].String(); got != "10.1.1.0" {
		t.Errorf("after 10.1.0.255: %s", got)
	}
}

func TestPoolRefuses(t *testing.T) {
	for _, tt := range []struct {
		prefixes []netip.Prefix
		want     string
	}{
		{nil, "one of each IP family"},
		{prefixes("10.0.0.0/24", "10.1.0.0/24"), "same IP family"},
		{prefixes("10.0.0.0/31"), "too small"},
	} {
		if _, err := NewPool(tt.prefixes, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want one that says %q", tt.prefixes, err, tt.want)
		}
	}
}
