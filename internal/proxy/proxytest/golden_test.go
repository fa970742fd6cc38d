package proxytest

import (
	"flag"
	"testing"

	"github.com/switchyard-net/switchyard/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden sections of testdata")

// TestPlanGolden shows what the plan of every scenario looks like.
func TestPlanGolden(t *testing.T) {
	Golden(t, "plan", *update, nil, func(_ testing.TB, p *plan.Plan) string { return p.Dump() })
}
