package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/model"
)

// TestCheckSaysWhereACorefileIsWrong checks beside a server, which goes on.
func TestCheckSaysWhereACorefileIsWrong(t *testing.T) {
	running := start(t, cluster(t), ".:0 {\nbind 127.0.0.1\nkubernetes cluster.local\n}\n", nil)
	selector := func(string) (func(model.Labels) bool, error) { return nil, nil }
	for directives, want := range map[string]string{
		"kubernetes cluster.local {\nttl thirty\n}":                            "Corefile:4",
		"kubernetes cluster.local {\nlabels app=web\nendpoint_pod_names\n}":    "",
		"kubernets cluster.local":                                              "Corefile:3 - Unknown directive 'kubernets'",
		"kubernetes cluster.local\nforward . nowhere":                          "Corefile:4",
		"kubernetes cluster.local\nfile missing.db example.org":                "",
		"kubernetes cluster.local\nhosts {\n192.0.2.1 a.example\nttl never\n}": "Corefile:6",
		"kubernetes cluster.local\nk8s_external example.org":                   "not built in",
	} {
		path := filepath.Join(t.TempDir(), "Corefile")
		if err := os.WriteFile(path, []byte(serverBlock(directives)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Config{Corefile: path}.Check(selector)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", directives, err, want)
		}
	}
	if got := answers(running.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA)); got != "web.default.svc.cluster.local. A 10.96.0.1" {
		t.Errorf("the server beside: %s", got)
	}
}
