package show

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shop is the table of testdata/shop.yaml.
func shop(t *testing.T) (*route.Table, []route.Problem) {
	t.Helper()
	objects, err := manifest.Read("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return route.Build(&objects.Snapshot, route.Config{})
}

// golden compares text with a file below testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func asJSON(t *testing.T, what any) string {
	t.Helper()
	out, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

func TestList(t *testing.T) {
	table, problems := shop(t)
	golden(t, "all.json", asJSON(t, List(table, problems, time.Unix(0, 0).UTC(), "")))
	golden(t, "host.json", asJSON(t, List(table, problems, time.Unix(0, 0).UTC(), "Shop.Example.com")))
}

func TestExplain(t *testing.T) {
	table, problems := shop(t)
	var b strings.Builder
	for _, url := range []string{
		"https://shop.example.com/", "http://shop.example.com/", "https://shop.example.com/cart", "https://shop.example.com//x/../cart",
		"https://shop.example.com/none/x", "http://x.example.com/", "http://a.b.example.com/", "http://192.0.2.1/",
		"http://api.example.org/v1/items/7", "http://api2.example.org/V1", "http://api.example.org/", "http://shop.example.com:8080/%2e%2e/..",
	} {
		x, err := Explain(table, problems, url)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, url)
		for _, s := range x.Steps {
			fmt.Fprintln(&b, "  "+s)
		}
		fmt.Fprintln(&b, "  ->", x.Outcome, x.Endpoints)
		for _, p := range x.Problems {
			fmt.Fprintln(&b, "  !", p.Object, p.Reason)
		}
	}
	golden(t, "explain.txt", b.String())
}

func TestWhatIsNoURL(t *testing.T) {
	table, problems := shop(t)
	for _, url := range []string{"", "shop.example.com/", "ftp://shop.example.com/", "http://", "http://[::1"} {
		if _, err := Explain(table, problems, url); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v, want ErrURL", url, err)
		}
	}
}
