package leftovers_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/switchyard-net/switchyard/internal/kernel/leftovers"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
)

// restore loads a recording of iptables-save.
func restore(t *testing.T, ns *lab.Namespace, binary, file string) {
	t.Helper()
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	command := ns.Command(t.Context(), binary, "--noflush")
	command.Stdin = bytes.NewReader(rules)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s < %s: %v: %s", binary, file, err, out)
	}
}

// rules returns the chains and rules that an implementation of iptables has, without those of KUBE-FIREWALL, which
// kube-proxy 1.37 shares with the kubelet and leaves.
func rules(t *testing.T, ns *lab.Namespace, binary string) string {
	t.Helper()
	out, err := ns.Command(t.Context(), binary).Output()
	if err != nil {
		t.Fatalf("%s: %v", binary, err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "KUBE-FIREWALL") {
			continue
		}
		if chain, _, ok := strings.Cut(line, " - ["); ok && strings.HasPrefix(line, ":") {
			lines = append(lines, chain+"\n")
		} else if strings.HasPrefix(line, "-A") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// addSet makes an ipset, unless the kernel has none.
func addSet(t *testing.T, name string) {
	t.Helper()
	if err := netlink.IpsetCreate(name, "hash:ip", netlink.IpsetCreateOptions{}); err != nil {
		t.Fatalf("make ipset %s: %v", name, err)
	}
}

// TestRule33_CleanupRemovesWhatKubeProxyLeftAndNothingElse loads the rules that a real kube-proxy 1.37 left, beside those
// of others, into the kernel.
func TestRule33_CleanupRemovesWhatKubeProxyLeftAndNothingElse(t *testing.T) {
	l := lab.ForTest(t)
	ns, clean := l.Namespace("node"), l.Namespace("clean")
	for _, binary := range []string{"iptables-nft-restore", "iptables-legacy-restore"} {
		restore(t, ns, binary, "testdata/others.save")
		restore(t, clean, binary, "testdata/others.save")
		restore(t, ns, binary, "testdata/kube-proxy-iptables.save")
	}
	for _, ns := range []*lab.Namespace{ns, clean} {
		script := "table ip mine { chain c { }; }"
		if out, err := ns.Command(t.Context(), "nft", script).CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s", err, out)
		}
	}
	l.Must(ns.Command(t.Context(), "nft", "table ip kube-proxy { chain b { }; chain a { jump b; }; }; table ip6 kube-proxy { }; table ip switchyard { }").Run())
	l.Must(ns.Do(func() error {
		addSet(t, "KUBE-CLUSTER-IP")
		addSet(t, "KUBE-MINE")
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "kube-ipvs0"}})
	}))
	want := []string{
		"17 chains of iptables-legacy", "17 chains of iptables-nft", "interface kube-ipvs0", "ipset KUBE-CLUSTER-IP",
		"nftables table ip kube-proxy", "nftables table ip switchyard", "nftables table ip6 kube-proxy",
	}
	remove := func(want []string) {
		t.Helper()
		var removed []string
		err := ns.Do(func() (err error) {
			removed, err = leftovers.Remove(context.Background(), "switchyard", leftovers.KubeProxyTable)
			return err
		})
		slices.Sort(removed)
		if diff := cmp.Diff(want, removed); diff != "" || err != nil {
			t.Errorf("removed (-want +got), %v:\n%s", err, diff)
		}
	}
	remove(want)
	remove(nil)
	for _, binary := range []string{"iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save"} {
		if diff := cmp.Diff(rules(t, clean, binary), rules(t, ns, binary)); diff != "" {
			t.Errorf("%s (-others alone +after cleanup):\n%s", binary, diff)
		}
	}
	left, err := ns.Command(t.Context(), "nft", "list", "table", "ip", "mine").Output()
	if err != nil || !strings.Contains(string(left), "chain c") {
		t.Errorf("somebody's own table is %q, %v", left, err)
	}
	l.Must(ns.Do(func() error {
		if _, err := netlink.IpsetList("KUBE-MINE"); err != nil {
			return errors.Join(errors.New("somebody's own ipset is gone"), err)
		}
		return netlink.IpsetDestroy("KUBE-MINE")
	}))
}

func TestCleanupOfACleanNamespaceMakesNothing(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Namespace("node")
	l.Must(ns.Do(func() error {
		removed, err := leftovers.Remove(context.Background(), "switchyard", leftovers.KubeProxyTable)
		if removed != nil {
			t.Errorf("removed %q", removed)
		}
		names, readErr := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		if len(names) > 0 || readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			t.Errorf("legacy tables %q were made by looking at them, %v", names, readErr)
		}
		return err
	}))
}

// TestRule33_CleanupOfKubeProxysIPVS runs where there is IPVS. Virtual servers that go by a mark are not kube-proxy's.
func TestRule33_CleanupOfKubeProxysIPVS(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		l := lab.ForTest(t)
		ns := l.Namespace("node")
		l.Must(ns.AddDummy("kube-ipvs0", netip.MustParsePrefix("10.96.0.1/32")))
		const servers = "ipvsadm -A -t 10.96.0.1:443 -s rr && ipvsadm -a -t 10.96.0.1:443 -r 192.0.2.1:6443 -m && " +
			"ipvsadm -A -u [fd00::1]:53 -s rr && ipvsadm -A -f 7 -s rr"
		if out, err := ns.Command(t.Context(), "sh", "-c", servers).CombinedOutput(); err != nil {
			t.Fatalf("make virtual servers: %v: %s", err, out)
		}
		for _, want := range [][]string{{"2 ipvs virtual servers", "interface kube-ipvs0"}, nil} {
			err := ns.Do(func() error {
				removed, err := leftovers.Remove(context.Background(), leftovers.KubeProxyTable)
				if diff := cmp.Diff(want, removed); diff != "" {
					t.Errorf("removed (-want +got):\n%s", diff)
				}
				return err
			})
			// The guest's kernel has no nftables for IP.
			if err != nil {
				t.Log(err)
			}
		}
		out, err := ns.Command(t.Context(), "ipvsadm", "--save", "--numeric").Output()
		if diff := cmp.Diff("-A -f 7 -s rr\n", string(out)); diff != "" || err != nil {
			t.Errorf("virtual servers afterwards (-want +got), %v:\n%s", err, diff)
		}
	})
}
