// Package report prints and stores what a benchmark measured, in one form for all benchmarks of the project.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// Row is one measured value. The files of two runs are compared row by row.
type Row struct {
	System   string  `json:"system"`
	Mode     string  `json:"mode"`
	Case     string  `json:"case"`
	Services int     `json:"services"`
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
}

// column identifies the competitor that a row belongs to; line is what was measured of it.
type column struct{ system, mode string }

type line struct {
	services           int
	name, metric, unit string
}

func (r Row) column() column { return column{r.System, r.Mode} }
func (r Row) line() line     { return line{r.Services, r.Case, r.Metric, r.Unit} }

// Table prints the rows with one column for each system and mode, in the order in which they first appear.
func Table(w io.Writer, rows []Row) error {
	var columns []column
	var lines []line
	values := map[line]map[column]float64{}
	for _, row := range rows {
		if !slices.Contains(columns, row.column()) {
			columns = append(columns, row.column())
		}
		if values[row.line()] == nil {
			lines = append(lines, row.line())
			values[row.line()] = map[column]float64{}
		}
		values[row.line()][row.column()] = row.Value
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.services - b.services })
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "Services\tcase\tmetric\t")
	for _, c := range columns {
		fmt.Fprintf(out, "%s %s\t", c.system, c.mode)
	}
	fmt.Fprintln(out)
	for _, l := range lines {
		fmt.Fprintf(out, "%d\t%s\t%s (%s)\t", l.services, l.name, l.metric, l.unit)
		for _, c := range columns {
			fmt.Fprintf(out, "%s\t", cell(values[l], c))
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// cell shows three significant digits, and a dash where a system has no such value.
func cell(values map[column]float64, c column) string {
	value, ok := values[c]
	switch {
	case !ok:
		return "-"
	case value >= 100:
		return strconv.FormatFloat(value, 'f', 0, 64)
	default:
		return strconv.FormatFloat(value, 'g', 3, 64)
	}
}

// Write stores the rows as dir/name.json, a JSON list with one row on a line.
func Write(dir, name string, rows []Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("store the benchmark's values: %w", err)
	}
	var text []byte
	for i, row := range rows {
		encoded, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", row.Case, row.Metric, err)
		}
		separator := ",\n  "
		if i == 0 {
			separator = "[\n  "
		}
		text = append(append(text, separator...), encoded...)
	}
	if len(rows) == 0 {
		text = append(text, '[')
	}
	text = append(text, "\n]\n"...)
	if err := os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644); err != nil {
		return fmt.Errorf("store the benchmark's values: %w", err)
	}
	return nil
}

// Find returns the value of a metric, or false where it was not measured.
func Find(rows []Row, system, mode, name string, services int, metric string) (float64, bool) {
	for _, row := range rows {
		if row.System == system && row.Mode == mode && row.Case == name && row.Services == services && row.Metric == metric {
			return row.Value, true
		}
	}
	return 0, false
}

// Percentile returns the smallest value that p percent of the values do not exceed (nearest rank); 0 for no values.
func Percentile(values []time.Duration, p int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}
