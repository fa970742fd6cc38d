package nftables

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestListing compares what nft(8) makes of our ruleset with golden text: a person who debugs a node reads it, so it
// must be readable, and nft must not fail on it.
func TestListing(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	b := newBackend(t, connIn(t, ns))
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), everything()...)})
	out, err := ns.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	golden(t, "testdata/ruleset.nft", string(out))
}

// TestHandoverListing does so where connections are handed over to a proxy.
func TestHandoverListing(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	cfg := handingOver()
	cfg.Table = ""
	b := configured(t, cfg, connIn(t, ns))
	node := testNode()
	node.NodePorts.Addrs = append(node.NodePorts.Addrs, addrs("127.0.0.1", "::1")...)
	report := mustSync(t, b, plan.Update{Plan: planOf(node, everything()...)})
	if len(report.Unsupported) > 0 {
		t.Errorf("unsupported: %+v", report.Unsupported)
	}
	out, err := ns.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	golden(t, "testdata/handover.nft", string(out))
}

// TestFakeDump shows that Fake prints the same rules as nft(8).
func TestFakeDump(t *testing.T) {
	fake := &nft.Fake{}
	mustSync(t, newBackend(t, fake), plan.Update{Plan: planOf(testNode(), everything()...)})
	golden(t, "testdata/fake.nft", fake.Dump())
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
