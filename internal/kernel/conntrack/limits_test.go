package conntrack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// machine returns a kernel of files, and what it holds.
func machine(t *testing.T, settings map[string]string, cpus int) (conntrack.Kernel, func() map[string]string) {
	t.Helper()
	root := t.TempDir()
	directory := filepath.Join(root, "net/netfilter")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, value string) {
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range settings {
		write(filepath.Join(directory, "nf_conntrack_"+name), value)
	}
	hash := filepath.Join(root, "hashsize")
	write(hash, "1024")
	return conntrack.Kernel{Sysctl: sysctl.Tree{Root: root}, HashSize: hash, CPUs: cpus}, func() map[string]string {
		out := map[string]string{}
		for name := range settings {
			text, err := os.ReadFile(filepath.Join(directory, "nf_conntrack_"+name))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = strings.TrimSpace(string(text))
		}
		text, err := os.ReadFile(hash)
		if err != nil {
			t.Fatal(err)
		}
		out["hashsize"] = strings.TrimSpace(string(text))
		return out
	}
}

// kubeProxyLimits are the defaults of KubeProxyConfiguration.
func kubeProxyLimits() conntrack.Limits {
	return conntrack.Limits{
		MaxPerCore: 32768, Min: 131072,
		TCPEstablishedTimeout: 24 * time.Hour, TCPCloseWaitTimeout: time.Hour,
	}
}

func TestRule30_ConntrackMax(t *testing.T) {
	for _, c := range []struct {
		name              string
		perCore, min, cpu int
		want              int
	}{
		{"scaled", 32768, 131072, 8, 262144},
		{"floor", 32768, 131072, 2, 131072},
		{"cap", 32768, 131072, 64, 1048576},
		{"left alone", 0, 131072, 64, 0},
	} {
		if got := (conntrack.Limits{MaxPerCore: c.perCore, Min: c.min}).Max(c.cpu); got != c.want {
			t.Errorf("%s: Max = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRule30_ConntrackSettings(t *testing.T) {
	before := map[string]string{
		"max": "65536", "tcp_timeout_established": "432000", "tcp_timeout_close_wait": "60",
		"udp_timeout": "30", "udp_timeout_stream": "120", "tcp_be_liberal": "0",
	}
	kernel, settings := machine(t, before, 8)
	if err := kubeProxyLimits().Apply(kernel); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"max": "262144", "hashsize": "65536", "tcp_timeout_established": "86400", "tcp_timeout_close_wait": "3600",
		"udp_timeout": "30", "udp_timeout_stream": "120", "tcp_be_liberal": "0",
	}
	if diff := cmp.Diff(want, settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}

	kernel, settings = machine(t, before, 8)
	limits := conntrack.Limits{UDPTimeout: 10 * time.Second, UDPStreamTimeout: 3 * time.Minute, TCPBeLiberal: true}
	if err := limits.Apply(kernel); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{
		"max": "65536", "hashsize": "1024", "tcp_timeout_established": "432000", "tcp_timeout_close_wait": "60",
		"udp_timeout": "10", "udp_timeout_stream": "180", "tcp_be_liberal": "1",
	}
	if diff := cmp.Diff(want, settings()); diff != "" {
		t.Errorf("settings with zero fields (-want +got):\n%s", diff)
	}
}

func TestRule30_ConntrackMaxIsNeverLowered(t *testing.T) {
	kernel, settings := machine(t, map[string]string{"max": "1000000"}, 8)
	if err := (conntrack.Limits{MaxPerCore: 32768}).Apply(kernel); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"max": "1000000", "hashsize": "65536"}, settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestRule30_FailuresNameTheSetting(t *testing.T) {
	kernel, _ := machine(t, nil, 8)
	err := kubeProxyLimits().Apply(kernel)
	for _, want := range []string{"nf_conntrack_max", "nf_conntrack_tcp_timeout_established", "nf_conntrack_tcp_timeout_close_wait"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// TestRule30_InANetworkNamespace sets the real kernel's settings: those of the namespace change, and the machine's are
// reported as out of reach and not touched.
func TestRule30_InANetworkNamespace(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Namespace("node")
	kernel := conntrack.ThisMachine()
	before, err := os.ReadFile(kernel.HashSize)
	if err != nil {
		t.Fatal(err)
	}
	limits := kubeProxyLimits()
	limits.MaxPerCore, limits.Min = 1<<20, 1<<20
	l.Must(ns.Do(func() error {
		if err := limits.Apply(kernel); err == nil || !strings.Contains(err.Error(), "nf_conntrack_max") || strings.Contains(err.Error(), "timeout") {
			t.Errorf("Apply: %v; want an error that names nf_conntrack_max alone", err)
		}
		closeWait, err := kernel.Sysctl.Int("net.netfilter.nf_conntrack_tcp_timeout_close_wait")
		if err == nil && closeWait != 3600 {
			t.Errorf("close_wait timeout is %d, want 3600", closeWait)
		}
		return err
	}))
	after, err := os.ReadFile(kernel.HashSize)
	if err != nil || string(after) != string(before) {
		t.Errorf("the machine's hash size went from %s to %s, %v", before, after, err)
	}
}
