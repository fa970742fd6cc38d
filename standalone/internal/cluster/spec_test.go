package cluster

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good := Spec{DataDir: dir, Nodes: 1}
	for name, test := range map[string]struct {
		change func(*Spec)
		want   string // in the message; empty: no error
	}{
		"one node":      {func(*Spec) {}, ""},
		"all the nodes": {func(s *Spec) { s.Nodes = MaxNodes }, ""},
		"no nodes":      {func(s *Spec) { s.Nodes = 0 }, "--nodes 0"},
		"zones":         {func(s *Spec) { s.Zones = []string{"a", "b-1"} }, ""},
		"empty zone":    {func(s *Spec) { s.Zones = []string{"a", ""} }, "--zones"},
		"zone of two":   {func(s *Spec) { s.Zones = []string{"a b"} }, `"a b"`},
		"relative":      {func(s *Spec) { s.DataDir = "here" }, `--data-dir "here"`},
		"long":          {func(s *Spec) { s.DataDir = "/" + strings.Repeat("d", maxDataDir) }, "choose a shorter one"},
		"no image file": {func(s *Spec) { s.Images = dir + "/none" }, "--images"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := good
			test.change(&spec)
			err := spec.Validate()
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v; want one that says %q", err, test.want)
			}
		})
	}
}

func TestSpecSurvivesTheDisk(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, ErrNoCluster) {
		t.Errorf("load of nothing: %v", err)
	}
	spec := &Spec{DataDir: dir, Nodes: 3, Zones: []string{"a", "b"}, Images: "/images", ProxyMode: "nftables", Expose: true, Port: 7}
	if err := spec.Save(); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec, loaded); diff != "" {
		t.Errorf("spec (-saved +loaded):\n%s", diff)
	}
}

func TestZonesTakeTurns(t *testing.T) {
	spec := &Spec{Nodes: 3, Zones: []string{"a", "b"}}
	got := []string{spec.Zone(1), spec.Zone(2), spec.Zone(3)}
	if diff := cmp.Diff([]string{"a", "b", "a"}, got); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	if zone := (&Spec{Nodes: 1}).Zone(1); zone != "" {
		t.Errorf("zone %q of a cluster without zones", zone)
	}
}

func TestNodeIndexNamesWhatThereIs(t *testing.T) {
	spec := &Spec{Nodes: 2}
	if i, err := spec.NodeIndex("node-2"); i != 2 || err != nil {
		t.Errorf("node-2: %d, %v", i, err)
	}
	for _, name := range []string{"node-3", "node-0", "2", ""} {
		if _, err := spec.NodeIndex(name); err == nil || !strings.Contains(err.Error(), "node-1, node-2") {
			t.Errorf("%q: %v; want the names there are", name, err)
		}
	}
}

// Addresses of one kind must neither repeat nor leave their network, and networks must not overlap.
func TestAddressesAreDistinct(t *testing.T) {
	seen := map[netip.Addr]bool{}
	hosts := []Dual{HostAddress(), ControlPlaneAddress(), ClientAddress()}
	for i := 1; i <= MaxNodes; i++ {
		hosts = append(hosts, NodeAddress(i))
	}
	first := hosts[0].Prefixes()
	for _, host := range hosts {
		for family, address := range host.All() {
			if seen[address] {
				t.Errorf("address %s is given twice", address)
			}
			seen[address] = true
			if !first[family].Masked().Contains(address) {
				t.Errorf("address %s is not in %s", address, first[family].Masked())
			}
		}
	}
	networks := []netip.Prefix{first[0].Masked(), first[1].Masked()}
	for _, cidr := range strings.Split(ServiceCIDRs, ",") {
		networks = append(networks, netip.MustParsePrefix(cidr))
	}
	for i := 1; i <= MaxNodes; i++ {
		for family, prefix := range PodCIDRsOf(i) {
			if all := netip.MustParsePrefix(strings.Split(PodCIDRs, ",")[family]); !all.Contains(prefix.Addr()) || all.Bits() > prefix.Bits() {
				t.Errorf("%s is not in %s", prefix, all)
			}
			networks = append(networks, prefix)
		}
	}
	for i, a := range networks {
		for _, b := range networks[:i] {
			if a.Overlaps(b) {
				t.Errorf("%s and %s overlap", a, b)
			}
		}
	}
}
