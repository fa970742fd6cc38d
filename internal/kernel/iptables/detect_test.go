package iptables_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// TestAuto prepares namespaces as systems of either variant leave them.
func TestAuto(t *testing.T) {
	out, err := exec.Command("iptables-restore", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	standard, other := iptables.Legacy, iptables.NFT
	if strings.Contains(string(out), "nf_tables") {
		standard, other = other, standard
	}
	const hint = "*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"
	const someRules = "*nat\n:A - [0:0]\n-A A -j RETURN\n-A PREROUTING -j A\nCOMMIT\n"
	for _, c := range []struct {
		name string
		// legacy and nft are what there is of either, for iptables-restore.
		legacy, nft string
		want        iptables.Variant
	}{
		{"nothing", "", "", standard},
		{"hint-legacy", hint, someRules, iptables.Legacy},
		{"hint-nft", someRules, hint, iptables.NFT},
		{"rules-legacy", someRules, "", iptables.Legacy},
		{"rules-nft", "", someRules, iptables.NFT},
		{"more-nft", someRules, "*filter\n" + strings.Repeat("-A INPUT -j ACCEPT\n", 20) + "COMMIT\n", iptables.NFT},
		{"more-legacy", "*filter\n" + strings.Repeat("-A INPUT -j ACCEPT\n", 20) + "COMMIT\n", someRules, iptables.Legacy},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := lab.ForTest(t).Namespace("node")
			for v, script := range map[iptables.Variant]string{iptables.Legacy: c.legacy, iptables.NFT: c.nft} {
				if script == "" {
					continue
				}
				command := ns.Command(t.Context(), "iptables-"+string(v)+"-restore", "--noflush", "-w", "60")
				command.Stdin = strings.NewReader(script)
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			conn := open(t, ns, filepath.Join(t.TempDir(), "lock"), iptables.Options{})
			if conn.Variant() != c.want {
				t.Errorf("auto takes %s, want %s (the system's standard is %s, not %s)", conn.Variant(), c.want, standard, other)
			}
		})
	}
}

// TestUnknownVariant names what there is.
func TestUnknownVariant(t *testing.T) {
	_, err := iptables.Open(t.Context(), iptables.Options{Variant: "ebtables"})
	if err == nil || !strings.Contains(err.Error(), "want auto, legacy or nft") {
		t.Errorf("Open: %v", err)
	}
}

func TestTarget(t *testing.T) {
	for rule, want := range map[string]string{
		"": "",
		`PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`: "KUBE-SERVICES",
		`INPUT -m comment --comment "say \"-j KUBE-SERVICES\" here" -j ACCEPT`:          "ACCEPT",
		`INPUT -m comment --comment "-j" X`:                                             "",
		"FORWARD  -g A":                                                                 "A",
		"FORWARD -m comment":                                                            "",
		"FORWARD -j":                                                                    "",
	} {
		if got := iptables.Target(rule); got != want {
			t.Errorf("Target(%s) = %q, want %q", rule, got, want)
		}
	}
}

// FuzzTarget wants no panic, and a target that is a word of the rule.
func FuzzTarget(f *testing.F) {
	f.Add(`A -m comment --comment "x\" -j B" -g C`)
	f.Add(`-j "\`)
	f.Fuzz(func(t *testing.T, rule string) {
		if got := iptables.Target(rule); !strings.Contains(rule, got) {
			t.Errorf("Target(%q) = %q", rule, got)
		}
	})
}
