package nginx

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/manifest"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// TestNginxTakesGoldenTables renders each of the golden tables of package route, and has nginx read the result.
func TestNginxTakesGoldenTables(t *testing.T) {
	manifests, err := filepath.Glob("../route/testdata/golden/*.yaml")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	home, server := openNginx(t)
	entry := Entry{
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, HTTPPort: 18080, HTTPSPort: 18443, Dir: home.Current(), Run: home.Run(), User: home.User(),
		Modules: home.Modules(), Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")},
	}
	for n, file := range manifests {
		t.Run(filepath.Base(file), func(t *testing.T) {
			objects, err := manifest.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			table, _ := route.Build(&objects.Snapshot, route.Config{
				ConfigMap: model.Ref{Namespace: "ingress", Name: "controller"}, TCP: model.Ref{Namespace: "ingress", Name: "tcp-services"},
				UDP: model.Ref{Namespace: "ingress", Name: "udp-services"},
				Now: func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) },
			})
			files, problems := Render(Input{Entry: entry, Table: table})
			for _, p := range problems {
				t.Log(p.Ref, p.Message)
			}
			files[GenerationFile] = ""
			dir, err := home.Write(uint64(n), files)
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Check(t.Context(), dir); err != nil {
				t.Error(err)
				t.Log(files[ConfigFile])
			}
		})
	}
}
