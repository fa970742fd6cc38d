package cli

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestDNSCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Corefile")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func() (int, string) {
		var out, errs bytes.Buffer
		code := Main([]string{"dns", "check", "--corefile", path}, &out, &errs)
		return code, out.String() + errs.String()
	}
	write(".:53 {\n  kubernetes cluster.local\n  cache\n}\nstub.test:53 {\n  log\n  kubernetes stub.test\n}\n")
	code, out := check()
	for _, want := range []string{
		path + ":2\t.\tfast path; forwarded answers are kept\n",
		path + ":6\tstub.test.\tCoreDNS answers all: log (" + path + ":6) sees every question first\n",
	} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, output\n%swithout\n%s", code, out, want)
		}
	}
	write(".:53 {\n  errors\n  nonsense\n}\n")
	if code, out := check(); code == exitOK || !strings.Contains(out, path+":3") {
		t.Errorf("exit code %d for a Corefile with an error: %s", code, out)
	}
}

func TestPodsResolvConf(t *testing.T) {
	ref := model.Ref{Namespace: "kube-system", Name: "kube-dns"}
	var snap model.Snapshot
	snap.Services = snap.Services.With(ref, &model.Service{Ref: ref, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}})
	for address, want := range map[string]string{dnsOfService: "10.96.0.10", "192.0.2.53": "192.0.2.53"} {
		o := envOptions{namespace: "shop", zone: "cluster.local", dns: address}
		text, err := o.resolvConf(&snap)
		if err != nil || !strings.HasPrefix(string(text), "nameserver "+want+"\nsearch shop.svc.cluster.local svc.cluster.local cluster.local") {
			t.Errorf("%s: %s%v", address, text, err)
		}
	}
	if _, err := (&envOptions{dns: dnsOfService}).resolvConf(&model.Snapshot{}); err == nil {
		t.Error("no error without the Service")
	}
}

func TestStandardLogKeepsLevels(t *testing.T) {
	var out bytes.Buffer
	w := standardLog{slog.New(slog.NewTextHandler(&out, nil))}
	for _, line := range []string{"[WARNING] plugin/x: careful\n", "[DEBUG] hidden\n", "plain\n"} {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	text := out.String()
	if !strings.Contains(text, `level=WARN msg="plugin/x: careful"`) || strings.Contains(text, "hidden") || !strings.Contains(text, "level=INFO msg=plain") {
		t.Error(text)
	}
}
