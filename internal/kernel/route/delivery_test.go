package route

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// TestDeliverMarked holds what ip(8) lists against what was asked for, before and after.
func TestDeliverMarked(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	ip := func(args ...string) string {
		out, err := ns.Command(t.Context(), "ip", args...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "table does not exist") {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	var host *Host
	if err := ns.Do(func() (err error) { host, err = Open(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		flag := map[model.Family]string{model.IPv4: "-4", model.IPv6: "-6"}[f]
		before := ip(flag, "rule")
		for i, want := range []bool{true, false} {
			changed, err := host.DeliverMarked(f, 0x8000)
			if err != nil || changed != want {
				t.Errorf("%s, call %d: changed %t, error %v; want %t", f, i, changed, err, want)
			}
		}
		if _, err := host.DeliverMarked(f, 0x4000); err != nil {
			t.Fatal(err)
		}
		got := ip(flag, "rule")
		for _, line := range []string{"83:\tfrom all fwmark 0x4000/0x4000 iif lo goto 85", "84:\tfrom all fwmark 0x4000/0x4000 lookup 83", "85:\tfrom all fwmark 0x4000/0x4000 nop"} {
			if !strings.Contains(got, line) {
				t.Errorf("%s rules lack %q:\n%s", f, line, got)
			}
		}
		if n := strings.Count(got, "fwmark"); n != 3 {
			t.Errorf("%d rules of marks, want 3:\n%s", n, got)
		}
		if got := ip(flag, "route", "show", "table", "83"); !strings.HasPrefix(got, "local default dev lo") {
			t.Errorf("%s routes: %q", f, got)
		}
		for range 2 {
			if err := host.DeliverNone(f); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(before, ip(flag, "rule")); diff != "" {
			t.Errorf("after DeliverNone (-before +after):\n%s", diff)
		}
		if got := ip(flag, "route", "show", "table", "83"); got != "" {
			t.Errorf("routes left: %s", got)
		}
	}
}
