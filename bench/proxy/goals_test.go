package main

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/bench/report"
)

func TestGoalsCompareLargestSize(t *testing.T) {
	rows := []report.Row{
		{System: "switchyard", Mode: "nftables", Case: "start", Services: 10000, Metric: "to last rule", Value: 1},
		{System: "kube-proxy", Mode: "nftables", Case: "start", Services: 10000, Metric: "to last rule", Value: 60},
		{System: "switchyard", Mode: "nftables", Case: "endpoint change", Services: 1000, Metric: "p50", Value: 2},
		{System: "switchyard", Mode: "nftables", Case: "endpoint change", Services: 10000, Metric: "p50", Value: 4},
		{System: "switchyard", Mode: "iptables-nft", Case: "start", Services: 10000, Metric: "to last rule", Value: 20},
	}
	got := goals(rows, []int{1000, 10000})
	want := []string{"goal met    nftables: start", "goal MISSED iptables-nft: seconds", "goal MISSED nftables: endpoint change p50"}
	if len(got) != len(want) {
		t.Fatalf("%d goals, want those that were measured: %q", len(got), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("goal %q; want %s", got[i], want[i])
		}
	}
}

func TestAddressesOfTheCorpusAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for i := range 10000 {
		for endpoint := range endpointsPerService {
			address := pod(i, endpoint).Addr()
			if seen[address.String()] || !podNetwork.Contains(address) || !address.Less(replacement) {
				t.Fatalf("endpoint %d of Service %d has address %s, which is taken or outside of its half", endpoint, i, address)
			}
			seen[address.String()] = true
		}
		if address := frontend(i).Addr(); !serviceNetwork.Contains(address) {
			t.Fatalf("Service %d has address %s outside of %s", i, address, serviceNetwork)
		}
	}
}
