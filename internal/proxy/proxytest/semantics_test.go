package proxytest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSemanticsNamesRealTests keeps docs/semantics.md true: every test it names exists, and there is a line for each rule.
func TestSemanticsNamesRealTests(t *testing.T) {
	const root = "../../.."
	doc, err := os.ReadFile(root + "/docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, tree := range []string{"internal", "bench", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, tree), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return nil // a tree that does not exist names no tests
			}
			data, err := os.ReadFile(path)
			code.Write(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := regexp.MustCompile("`(TestRule\\d\\d_\\w+|Rule\\d\\d_\\w+|Test[A-Z]\\w+|Cleanup[A-Z]\\w+)`").FindAllStringSubmatch(string(doc), -1)
	for _, name := range names {
		if !strings.Contains(code.String(), "func "+name[1]+"(") && !strings.Contains(code.String(), `"`+name[1]+`"`) {
			t.Errorf("docs/semantics.md names %s, which does not exist", name[1])
		}
	}
	if rules := regexp.MustCompile(`(?m)^\| \d+ \|`).FindAllString(string(doc), -1); len(rules) != 38 {
		t.Errorf("docs/semantics.md has %d rules, want 38", len(rules))
	}
}
