package nginx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/kernel/nginxd"
)

// nasty are strings that end, escape or replace something in nginx's grammar.
var nasty = []string{
	`"`, `'`, `\`, `\"`, `"; return 403; #`, `'; }`, "}", "{", ";", "#", "$", "$host", "${host}", "${", "$$", `\$host`, `\\`, `\\"`, "a b", "~^/", "a\tb",
	`\n`, `\t`, `\r`, "%00", "é", "\xff", "=", "@x", "*", "default", "hostnames", "include /etc/passwd", `"\"`, `\u0022`,
}

// TestStringsArriveAsTheyAre has nginx send each string back: as a value, and as the key of a map.
func TestStringsArriveAsTheyAre(t *testing.T) {
	list := append([]string{}, nasty...)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			b.WriteString(nasty[random.IntN(len(nasty))])
		}
		list = append(list, b.String())
	}
	server := []directive{d("listen", plain("unix:RUN/test.sock")), d("default_type", key("text/plain"))}
	keys := []directive{d("default", plain("none"))}
	seen := map[string]bool{}
	for i, s := range list {
		server = append(server, block("location", []arg{key("="), key(fmt.Sprintf("/%d", i))}, d("return", number(200), literal(s))))
		// A map compares without case, and takes no key twice.
		if folded := strings.ToLower(s); !seen[folded] {
			seen[folded] = true
			keys = append(keys, d(string(plain(`\`+s)), plain(fmt.Sprint(i))))
		}
	}
	ask := startNginx(t, []directive{
		block("geo", []arg{key("$" + dollar)}, d("default", plain("$"))), d("map_hash_bucket_size", number(512)), d("map_hash_max_size", number(65536)),
		block("map", []arg{key("$request_uri"), key("$unused")}, keys...),
		block("server", nil, server...),
	})
	for i, s := range list {
		got, err := ask(fmt.Sprintf("/%d", i))
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("string %d (-written +sent back):\n%s", i, diff)
		}
	}
}

// TestNginxTakesWhatIsRendered has nginx read a configuration with each string in all places.
func TestNginxTakesWhatIsRendered(t *testing.T) {
	home, server := openNginx(t)
	entry := Entry{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, HTTPPort: 18080, Dir: home.Current(), Run: home.Run(), User: home.User(), Modules: home.Modules()}
	for n, s := range nasty {
		files, problems := Render(Input{Entry: entry, Table: everywhere(s)})
		if len(problems) > 0 {
			t.Logf("%q: %v", s, problems)
		}
		files[GenerationFile] = ""
		dir, err := home.Write(uint64(n), files)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Check(t.Context(), dir); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// openNginx returns an nginx that does not run, and its directory.
func openNginx(t *testing.T) (*nginxd.Home, *nginxd.Server) {
	t.Helper()
	home, err := nginxd.OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := nginxd.New(nginxd.Config{Home: home}, slog.New(slog.NewTextHandler(t.Output(), nil)), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return home, server
}

// startNginx runs an nginx with these directives in its http block, and returns what asks its socket RUN/test.sock.
func startNginx(t *testing.T, http []directive) (ask func(path string) (string, error)) {
	t.Helper()
	home, server := openNginx(t)
	r := &renderer{in: Input{Entry: Entry{Run: home.Run(), Dir: home.Current(), User: home.User(), Workers: 1}}}
	var b strings.Builder
	write(&b, append(r.top(), block("http", nil, append(http, d("access_log", key("off")))...)), 0)
	text := strings.ReplaceAll(b.String(), "unix:RUN", "unix:"+home.Run())
	dir, err := home.Write(1, Files{ConfigFile: text})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Check(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := home.Use(1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	ask = func(path string) (string, error) { return home.Ask(t.Context(), "test.sock", path) }
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, err := ask("/")
		if err == nil {
			return ask
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %v", err)
		}
	}
}
