package node

import (
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

var printRows = flag.Bool("print", false, "print the rows that docs/modes.md should have")

// The pages, and the headings of the tables that are read.
const (
	modesPage     = "../../docs/modes.md"
	semanticsPage = "../../docs/semantics.md"
	rulesTable    = "| # | rule |"
	reportedTable = "| mode | # | reported |"
	shownTable    = "| mode | # | shown by |"
)

// table returns the rows of the table of a page whose first line begins so, cell by cell.
func table(t *testing.T, page, begin string) [][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !inside {
			inside = strings.HasPrefix(line, begin)
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if !strings.HasPrefix(cells[0], "---") {
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table that begins with %q", page, begin)
	}
	return rows
}

// TestModesPageHasEveryRuleInEveryMode holds the table of rules against docs/semantics.md: "=" in a cell says that the mode
// does what is said there; anything else must be in one of the other two tables, which are held against the backends.
func TestModesPageHasEveryRuleInEveryMode(t *testing.T) {
	deviations := map[string]bool{}
	for _, begin := range []string{reportedTable, shownTable} {
		for _, row := range table(t, modesPage, begin) {
			deviations[row[0]+" "+row[1]] = true
		}
	}
	rules := table(t, semanticsPage, rulesTable)
	rows := table(t, modesPage, rulesTable)
	if len(rows) != len(rules) {
		t.Fatalf("%d rules in the table of modes, %d in semantics.md", len(rows), len(rules))
	}
	for i, row := range rows {
		if row[0] != rules[i][0] || row[1] != rules[i][1] || len(row) != 2+len(config.Modes()) {
			t.Errorf("row %v: want rule %s, %s, and a cell for each mode", row, rules[i][0], rules[i][1])
			continue
		}
		for m, mode := range config.Modes() {
			if cell := row[2+m]; cell == "" || (cell != "=" && cell != "–") != deviations[mode+" "+row[0]] {
				t.Errorf("rule %s in mode %s: the cell is %q; a deviation is reported or shown by a test: %t",
					row[0], mode, cell, deviations[mode+" "+row[0]])
			}
		}
	}
}

// TestModesPageNamesTestsThatExist looks for the tests of the last table.
func TestModesPageNamesTestsThatExist(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir("../proxy", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table(t, modesPage, shownTable) {
		if name := strings.Trim(row[2], "`"); !strings.Contains(sources.String(), name) {
			t.Errorf("mode %s, rule %s: nothing below internal/proxy is called %s", row[0], row[1], name)
		}
	}
}

// demanding is a plan that asks for all that not every mode can do.
func demanding() *plan.Plan {
	p := &plan.Plan{Node: plan.Node{
		NodePorts:     plan.NodePortAddresses{AnyLocal: true, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}},
		MasqueradeBit: 14,
	}}
	all, sticky := &plan.Service{Ref: model.Ref{Namespace: "default", Name: "all"}}, &plan.Service{Ref: model.Ref{Namespace: "default", Name: "sticky"}}
	for family, endpoint := range map[model.Family]string{model.IPv4: "192.0.2.50:8080", model.IPv6: "[2001:db8::50]:8080"} {
		anyNode := netip.IPv4Unspecified()
		if family == model.IPv6 {
			anyNode = netip.IPv6Unspecified()
		}
		for _, protocol := range []model.Protocol{model.TCP, model.UDP, model.SCTP} {
			all.Frontends = append(all.Frontends, plan.Frontend{
				Key:      plan.Key{Addr: anyNode, Port: 30080, Protocol: protocol},
				PortName: protocol.String(), Pool: plan.PoolID(len(all.Pools)), LocalClientPool: plan.NoPool,
			})
			all.Pools = append(all.Pools, plan.Pool{
				PortName: protocol.String(), Protocol: protocol, Family: family,
				Endpoints: []plan.Endpoint{{Addr: netip.MustParseAddrPort(endpoint)}},
			})
		}
	}
	sticky.Pools = []plan.Pool{{
		Protocol: model.TCP, Family: model.IPv4, Affinity: 3 * time.Hour,
		Endpoints: []plan.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.50:1")}, {Addr: netip.MustParseAddrPort("192.0.2.50:2")}},
	}}
	sticky.Frontends = []plan.Frontend{{
		Key: plan.Key{Addr: netip.MustParseAddr("10.96.0.9"), Port: 80, Protocol: model.TCP}, LocalClientPool: plan.NoPool,
	}}
	p.Services = p.Services.With(all.Ref, all).With(sticky.Ref, sticky)
	return p
}

// ruleOf returns the rule of docs/semantics.md that a capability belongs to.
func ruleOf(capability string) string {
	for word, rule := range map[string]string{"loopback": "15", "affinity": "11", "SCTP": "1"} {
		if strings.Contains(capability, word) && (word != "SCTP" || !strings.Contains(capability, "loopback")) {
			return rule
		}
	}
	return "?"
}

// reported returns the rows for what a kind reports when it is given the demanding plan.
func reported(t *testing.T, ns *lab.Namespace, k kind) []string {
	t.Helper()
	var rows []string
	err := ns.Do(func() error {
		log := slog.New(slog.DiscardHandler)
		i, err := open(t.Context(), k, config.IPVS{}, log)
		if err != nil {
			return err
		}
		defer i.Close()
		if err := i.answerOnLoopback(log); err != nil {
			return err
		}
		report, err := i.backend.Sync(t.Context(), plan.Update{Plan: demanding(), Full: true})
		if err != nil {
			return err
		}
		for _, u := range report.Unsupported {
			consequence, _, _ := strings.Cut(u.Consequence, ":")
			rows = append(rows, fmt.Sprintf("| %s | %s | %s: %s |", k.mode, ruleOf(u.Capability), u.Capability, consequence))
		}
		return i.backend.Cleanup(t.Context())
	})
	if err != nil {
		t.Fatalf("%s: %v", k, err)
	}
	return rows
}

// holdReports compares the page's rows for a mode with what its backend says.
func holdReports(t *testing.T, k kind) {
	t.Helper()
	got := reported(t, lab.ForTest(t).Namespace("node"), k)
	slices.Sort(got)
	got = slices.Compact(got)
	var want []string
	for _, row := range table(t, modesPage, reportedTable) {
		if row[0] == k.mode {
			want = append(want, "| "+strings.Join(row, " | ")+" |")
		}
	}
	slices.Sort(want)
	if *printRows {
		t.Logf("rows of %s:\n%s", k.mode, strings.Join(got, "\n"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the %s mode reports (-docs/modes.md +reported):\n%s", k, diff)
	}
}

func TestModesPageSaysWhatBackendsReport(t *testing.T) {
	for _, k := range []kind{{mode: config.ModeNFTables}, {config.ModeIPTables, iptables.Legacy}, {mode: config.ModeUserspace}} {
		t.Run(k.mode, func(t *testing.T) { holdReports(t, k) })
	}
}

func TestModesPageSaysWhatIPVSReports(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) { holdReports(t, kind{mode: config.ModeIPVS}) })
}
