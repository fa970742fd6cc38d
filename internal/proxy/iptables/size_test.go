package iptables

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestRule35_RulesAreCounted compares with what iptables-save lists, after a full and a small Sync.
func TestRule35_RulesAreCounted(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := connIn(t, ns, variants()[0])
	b := newBackend(t, conn, sysctlIn{ns})
	p := planOf(testNode(), everyFeature()...)
	one, _ := p.Services.Get(everyFeature()[0].Ref)
	next := &plan.Plan{Node: p.Node, Services: p.Services.Without(one.Ref)}
	for _, u := range []plan.Update{{Plan: p, Full: true}, {Plan: next, Changed: []model.Ref{one.Ref}}} {
		report, err := b.Sync(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range report.Rulesets {
			want := plan.Ruleset{Family: got.Family, Table: got.Table}
			err := conn.Save(t.Context(), got.Family, got.Table, func(line []byte) error {
				chain, _, _ := strings.Cut(strings.TrimLeft(strings.TrimPrefix(string(line), "-A "), ":"), " ")
				switch {
				case !isOurs(chain):
				case line[0] == ':':
					want.Chains++
				default:
					want.Rules++
				}
				return nil
			})
			if err != nil || got != want || got.Rules == 0 {
				t.Errorf("full %t: counted %+v, there are %+v, %v", u.Full, got, want, err)
			}
		}
		if len(report.Rulesets) != 4 {
			t.Errorf("%d tables counted; want nat and filter of both families", len(report.Rulesets))
		}
	}
}
