package route_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/vishvananda/netlink"
)

// host returns a namespace with an address of each family and a route, and its configuration.
func host(t *testing.T) (*lab.Namespace, *route.Host) {
	t.Helper()
	l := lab.ForTest(t)
	ns := l.Host(l.LAN("lan"), "a", "192.0.2.1/24", "2001:db8::1/64")
	l.Must(ns.AddRoute(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("192.0.2.254")))
	l.Must(ns.AddDefaultRoute(netip.MustParseAddr("192.0.2.254")))
	var h *route.Host
	l.Must(ns.Do(func() (err error) {
		h, err = route.Open()
		return err
	}))
	t.Cleanup(func() { _ = h.Close() })
	return ns, h
}

func TestNetworksNamesAddressesAndRoutes(t *testing.T) {
	_, h := host(t)
	networks, err := h.Networks()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range networks {
		what := "route"
		if n.Address {
			what = "address"
		}
		if n.Prefix.Addr().IsLinkLocalUnicast() || n.Prefix.Addr().IsMulticast() {
			continue
		}
		got = append(got, what+" "+n.Prefix.String()+" "+n.Interface+" "+n.Kind)
	}
	slices.Sort(got)
	want := []string{
		"address 127.0.0.0/8 lo device", "address 192.0.2.0/24 eth0 veth", "address 2001:db8::/64 eth0 veth", "address ::1/128 lo device",
		"route 0.0.0.0/0 eth0 veth", "route 192.0.2.0/24 eth0 veth", "route 198.51.100.0/24 eth0 veth", "route 2001:db8::/64 eth0 veth",
	}
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
}

func TestAddrsFollowsTheKernel(t *testing.T) {
	ns, h := host(t)
	done, changed := make(chan struct{}), make(chan struct{}, 16)
	watched := make(chan error, 1)
	go func() { watched <- h.WatchAddrs(done, func() { changed <- struct{}{} }) }()
	link, err := ns.Netlink().LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	// The subscription may begin after the first change: go on changing until one is seen.
	address, err := netlink.ParseAddr("192.0.2.9/24")
	if err != nil {
		t.Fatal(err)
	}
	for seen := false; !seen; {
		if err := ns.Netlink().AddrReplace(link, address); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
			seen = true
		case <-t.Context().Done():
			t.Fatal("no change was seen")
		default:
		}
	}
	addrs, err := h.Addrs()
	if err != nil || !slices.Contains(addrs, netip.MustParseAddr("192.0.2.9")) {
		t.Errorf("addresses %v, %v; want 192.0.2.9 among them", addrs, err)
	}
	close(done)
	if err := <-watched; err != nil {
		t.Errorf("WatchAddrs: %v", cmp.Diff(nil, err, cmpopts.EquateErrors()))
	}
}
