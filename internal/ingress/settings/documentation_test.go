package settings

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/ingress-nginx.md")

// TestDocumentation holds the tables of docs/ingress-nginx.md against those that annotations and keys are read by.
func TestDocumentation(t *testing.T) {
	const file = "../../../docs/ingress-nginx.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for marker, table := range map[string]string{"<!-- annotations:": annotationsTable(), "<!-- keys:": keysTable()} {
		start := strings.Index(text, marker)
		if start < 0 {
			t.Fatalf("no %q in %s", marker, file)
		}
		start += strings.Index(text[start:], "-->\n") + len("-->\n")
		end := start + strings.Index(text[start:], "<!-- end -->")
		if *update {
			text = text[:start] + table + text[end:]
			continue
		}
		if diff := cmp.Diff(table, text[start:end]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func annotationsTable() string {
	rows := slices.SortedFunc(Specs(), func(a, b Spec) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	var b strings.Builder
	b.WriteString("| group | annotation | risk | counts for | verdict | bad value | remark |\n|---|---|---|---|---|---|---|\n")
	for _, s := range rows {
		scope := "Ingress"
		if s.Host {
			scope = "host"
		}
		bad := map[Effect]string{Lost: "default", Denied: "503", Rejected: "rejected"}[s.invalid]
		note := s.Note
		if s.Alias != "" {
			note = strings.TrimPrefix(note+"; also `"+s.Alias+"`", "; ")
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s |\n", s.Group, s.Name, s.Risk, scope, s.Verdict, bad, note)
	}
	return b.String()
}

// keysTable lists the keys that work, and of the others by reason.
func keysTable() string {
	byNote := map[Verdict]map[string][]string{Works: {}, Ignored: {}, NotHonoured: {}}
	for k := range GlobalKeys() {
		byNote[k.Verdict][k.Note] = append(byNote[k.Verdict][k.Note], "`"+k.Name+"`")
	}
	var b strings.Builder
	b.WriteString("| verdict | keys | remark |\n|---|---|---|\n")
	for _, v := range []Verdict{Works, Ignored, NotHonoured} {
		for _, note := range slices.Sorted(maps.Keys(byNote[v])) {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", v, strings.Join(byNote[v][note], ", "), note)
		}
	}
	return b.String()
}
