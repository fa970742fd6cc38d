package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is what a command line does.
type outcome struct {
	code           int
	stdout, stderr string
}

func execute(args ...string) outcome {
	var stdout, stderr strings.Builder
	code := Main(args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// writeConfig returns the name of a file with a configuration: the lines of text, after the type.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n" + text
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefusedCommandLinesNameWhatIsWrong(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nodes"}, `unknown command "nodes" for "switchyard"`},
		{[]string{"version", "x"}, `unknown command "x"`},
		{[]string{"node", "--flag"}, "unknown flag: --flag"},
		{[]string{"node", "--log-format", "xml"}, `--log-format "xml": want text or json`},
		{[]string{"node", "--proxy-mode", "foo"}, `mode: "foo": want nftables, iptables, ipvs, userspace or auto`},
		{[]string{"node", "--proxy-mode", "ipvs", "--ipvs-scheduler", "best"}, `ipvs.scheduler: "best": want one of rr, `},
		{[]string{"node", "--masquerade-all=maybe"}, `invalid argument "maybe" for "--masquerade-all" flag`},
		{[]string{"node", "--config", "/nowhere"}, "--config: open /nowhere: no such file or directory"},
		{[]string{"node", "--config", writeConfig(t, "x: 1")}, `unknown field "x"`},
		{[]string{"node", "--kubeconfig", "/nowhere"}, "--kubeconfig /nowhere"},
		{[]string{"node"}, "no --kubeconfig"},
		{[]string{"node", "--conntrack-min", "many"}, `invalid argument "many" for "--conntrack-min" flag`},
		{[]string{"config", "check", "/nowhere"}, "open /nowhere"},
		{[]string{"config", "check"}, "accepts 1 arg(s), received 0"},
	} {
		got := execute(c.args...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want %d and %s", c.args, got.code, got.stdout, got.stderr, exitUsage, c.want)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	defaults := execute("config", "default")
	if defaults.code != exitOK || !strings.Contains(defaults.stdout, "kind: KubeProxyConfiguration") {
		t.Fatalf("config default: %+v", defaults)
	}
	path := filepath.Join(t.TempDir(), "default.yaml")
	if err := os.WriteFile(path, []byte(defaults.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outcome{exitOK, path + " can be used\n", ""}, execute("config", "check", path), cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("config check of the defaults (-want +got):\n%s", diff)
	}
	odd := execute("config", "check", writeConfig(t, "mode: nftables\nportRange: 1-2\n"))
	if odd.code != exitOK || !strings.Contains(odd.stdout, "note: portRange is not honoured\n") {
		t.Errorf("config check of a file with a field that has no effect: %+v", odd)
	}
}

// TestRule38_FlagsWinOverTheFile checks flags of each type; those that are not given leave the file's values.
func TestRule38_FlagsWinOverTheFile(t *testing.T) {
	path := writeConfig(t, `
mode: nftables
clusterCIDR: 10.1.0.0/16
hostnameOverride: from-file
nodePortAddresses: [localhost]
oomScoreAdj: 1
conntrack: {maxPerCore: 1, tcpCloseWaitTimeout: 1s}
nftables: {masqueradeAll: false}
`)
	command := newNodeCommand()
	flags := command.Flags()
	if err := flags.Parse([]string{
		"--config", path, "--hostname-override", "from-flag", "--nodeport-addresses", "primary,192.0.2.0/24",
		"--conntrack-max-per-core=2", "--conntrack-tcp-timeout-close-wait=2s", "--masquerade-all", "--detect-local-mode=NodeCIDR",
		"--masquerade-bit=4", "--iptables-masquerade-bit=3", "--min-sync-period=5s", "--ipvs-min-sync-period=6s", "--iptables-localhost-nodeports",
		"--ipvs-exclude-cidrs=192.0.2.0/24", "--ipvs-strict-arp", "--ipvs-udp-timeout=7s",
	}); err != nil {
		t.Fatal(err)
	}
	o := nodeOptions{file: path}
	kp, err := o.configuration(flags)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		kp.HostnameOverride, kp.NodePortAddresses, *kp.Conntrack.MaxPerCore, kp.Conntrack.TCPCloseWaitTimeout.Duration.String(),
		kp.NFTables.MasqueradeAll, string(kp.DetectLocalMode), kp.ClusterCIDR, *kp.OOMScoreAdj, string(kp.Mode),
		kp.IPTables.MasqueradeAll, *kp.IPTables.MasqueradeBit, *kp.NFTables.MasqueradeBit, *kp.IPTables.LocalhostNodePorts,
		kp.IPTables.MinSyncPeriod.Duration, kp.IPVS.MinSyncPeriod.Duration, kp.NFTables.MinSyncPeriod.Duration,
		kp.IPVS.ExcludeCIDRs, kp.IPVS.StrictARP, kp.IPVS.UDPTimeout.Duration,
	}
	want := []any{
		"from-flag",
		[]string{"primary", "192.0.2.0/24"},
		int32(2), "2s", true, "NodeCIDR", "10.1.0.0/16", int32(1), "nftables",
		true, int32(3), int32(4), true, 5 * time.Second, 6 * time.Second, 5 * time.Second,
		[]string{"192.0.2.0/24"},
		true, 7 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if got := execute("version"); got.code != exitOK || !strings.HasPrefix(got.stdout, "switchyard ") {
		t.Errorf("version: %+v", got)
	}
	help := execute()
	for _, command := range []string{"node", "controller", "cleanup", "config", "echo", "version"} {
		if !strings.Contains(help.stdout, "\n  "+command+" ") {
			t.Errorf("the help does not list %s:\n%s", command, help.stdout)
		}
	}
}
