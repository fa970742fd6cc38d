package iptables

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// TestSupported tries everything in each variant, which leaves nothing, and names what a lesser kernel lacks.
func TestSupported(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	for _, v := range variants() {
		conn := connIn(t, ns, v)
		if err := newBackend(t, conn, sysctlIn{ns}).Supported(t.Context()); err != nil {
			t.Errorf("%s: %v", v, err)
		}
		for _, table := range []string{"nat", "filter"} {
			err := conn.Save(t.Context(), model.IPv4, table, func(line []byte) error {
				if strings.Contains(string(line), ownPrefix) {
					t.Errorf("%s: %s is left", v, line)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	lesser := newBackend(t, &iptables.Fake{Lacks: []string{"statistic", "recent"}}, sysctlIn{ns})
	const want = "match statistic of iptables is missing: use a kernel that is built with CONFIG_NETFILTER_XT_MATCH_STATISTIC"
	if err := lesser.Supported(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("without statistic and recent: %v; want %s", err, want)
	}
}

func TestChainsOfTheIPVSModeAreNotOurs(t *testing.T) {
	for chain, want := range map[string]bool{
		"SWITCHYARD-SERVICES": true, "SWY-24-10.96.1.0": true, "SWYS-default/web": true,
		"SWITCHYARD-IPVS": false, "SWITCHYARD-IPVS-POST": false, "SWYX-1": false, "KUBE-SERVICES": false,
	} {
		if isOurs(chain) != want {
			t.Errorf("isOurs(%s) is %v", chain, !want)
		}
	}
}
