package iptables

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestSaved compares what iptables-save prints of our rules with golden text, in each variant: a person who debugs a node
// reads it, and the backend compares with it, so that what is written and what is printed must be the same.
func TestSaved(t *testing.T) {
	p := planOf(nodeWithLoopback(), everyFeature()...)
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			conn := connIn(t, lab.ForTest(t).Namespace("node"), v)
			mustSync(t, newBackend(t, conn, settings{}), plan.Update{Plan: p})
			golden(t, "testdata/rules.save", strings.Join(saved(t, conn), "\n")+"\n")
		})
	}
	t.Run("fake", func(t *testing.T) {
		fake := &iptables.Fake{}
		mustSync(t, newBackend(t, fake, settings{}), plan.Update{Plan: p})
		golden(t, "testdata/rules.save", strings.Join(saved(t, fake), "\n")+"\n")
	})
}

func nodeWithLoopback() plan.Node {
	n := testNode()
	n.NodePorts.Addrs = addrs("127.0.0.1", "192.0.2.10", "2001:db8::10")
	return n
}

// saved returns all that iptables-save prints of our chains and the rules that lead there, chain by chain.
func saved(t testing.TB, k Kernel) []string {
	t.Helper()
	var list []string
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		for _, table := range []string{"nat", "filter"} {
			chains := map[string][]string{}
			err := k.Save(t.Context(), f, table, func(line []byte) error {
				name, rest, _ := strings.Cut(string(line), " ")
				switch {
				case strings.HasPrefix(name, ":") && isOurs(name[1:]):
					chains[name[1:]] = append(chains[name[1:]], string(line))
				case name == "-A":
					chain, _, _ := strings.Cut(rest, " ")
					chains[chain] = append(chains[chain], string(line))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for name := range chains {
				names = append(names, name)
			}
			slices.Sort(names)
			if len(names) > 0 {
				list = append(list, "# "+f.String(), "*"+table)
			}
			for _, name := range names {
				list = append(list, chains[name]...)
			}
		}
	}
	return list
}

func golden(t *testing.T, path, got string) {
	t.Helper()
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
