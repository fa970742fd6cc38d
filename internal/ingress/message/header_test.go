package message

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func header(pairs ...string) Header {
	var h Header
	for i := 0; i < len(pairs); i += 2 {
		h.AddString(pairs[i], pairs[i+1])
	}
	return h
}

func TestHeader(t *testing.T) {
	tests := []struct {
		name string
		edit func(h *Header)
		want Header
	}{
		{"set the first of two", func(h *Header) { h.Set("ACCEPT", "x") }, header("Accept", "x", "Host", "h")},
		{"set a new one", func(h *Header) { h.Set("New", "x") }, header("Accept", "a", "Host", "h", "accept", "b", "New", "x")},
		{"delete all", func(h *Header) { h.Del("accept") }, header("Host", "h")},
		{"delete none", func(h *Header) { h.Del("other") }, header("Accept", "a", "Host", "h", "accept", "b")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := header("Accept", "a", "Host", "h", "accept", "b")
			test.edit(&h)
			if diff := cmp.Diff(test.want, h); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHeaderGet(t *testing.T) {
	h := header("Accept", "a", "accept", "b")
	if got := string(h.Get("aCCEPT")); got != "a" {
		t.Errorf("Get = %q", got)
	}
	if h.Get("Accep") != nil || h.Has("Accep") || !h.Has("ACCEPT") {
		t.Error("a name that is not there is found, or one that is there is not")
	}
}

func TestTokens(t *testing.T) {
	tests := map[string][]string{
		"":                      nil,
		",, ,":                  nil,
		"close":                 {"close"},
		" keep-alive ,Upgrade,": {"keep-alive", "Upgrade"},
		"a b":                   {"a b"},
	}
	for list, want := range tests {
		var got []string
		for token := range Tokens([]byte(list)) {
			got = append(got, string(token))
		}
		if !slices.Equal(got, want) {
			t.Errorf("Tokens(%q) = %q, want %q", list, got, want)
		}
	}
	if !HasToken([]byte("te, CLOSE"), "close") || HasToken([]byte("closed"), "close") {
		t.Error("HasToken is wrong")
	}
}

func TestHeaderAllocatesNothing(t *testing.T) {
	h := header("Host", "h", "Accept", "a", "Connection", "close, te")
	if n := testing.AllocsPerRun(100, func() {
		if !HasToken(h.Get("connection"), "te") {
			t.Error("not found")
		}
		kept := h
		kept.Del("Cookie")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
