package report_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/bench/report"
)

func rows() []report.Row {
	return []report.Row{
		{"a", "nft", "start", 1000, "time", "s", 1.25},
		{"a", "nft", "start", 10000, "time", "s", 12.5},
		{"b", "nft", "start", 1000, "time", "s", 1250.4},
	}
}

func TestTableHasAColumnForEachSystem(t *testing.T) {
	var out strings.Builder
	if err := report.Table(&out, rows()); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, text := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		got = append(got, strings.Fields(text))
	}
	want := [][]string{
		{"Services", "case", "metric", "a", "nft", "b", "nft"},
		{"1000", "start", "time", "(s)", "1.25", "1250"},
		{"10000", "start", "time", "(s)", "12.5", "-"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestWrittenFileIsTheListOfRows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for _, want := range [][]report.Row{rows(), {}} {
		if err := report.Write(dir, "proxy", want); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "proxy.json"))
		if err != nil {
			t.Fatal(err)
		}
		var got []report.Row
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows read back (-want +got):\n%s", diff)
		}
	}
}

func TestFind(t *testing.T) {
	if got, ok := report.Find(rows(), "b", "nft", "start", 1000, "time"); !ok || got != 1250.4 {
		t.Errorf("Find = %v, %v, want 1250.4, true", got, ok)
	}
	if _, ok := report.Find(rows(), "b", "nft", "start", 10000, "time"); ok {
		t.Error("Find found a value that was not measured")
	}
}

func TestPercentile(t *testing.T) {
	var values []time.Duration
	for i := range 100 {
		values = append(values, time.Duration(100-i))
	}
	for p, want := range map[int]time.Duration{0: 1, 50: 50, 99: 99, 100: 100} {
		if got := report.Percentile(values, p); got != want {
			t.Errorf("percentile %d = %d, want %d", p, got, want)
		}
	}
	if got := report.Percentile(nil, 50); got != 0 {
		t.Errorf("percentile of nothing = %d, want 0", got)
	}
}
