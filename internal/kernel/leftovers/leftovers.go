// Package leftovers finds and removes what Service proxies leave in the kernel: kube-proxy of any mode, and Switchyard.
//
// Rules of other programs are left alone, those of the kubelet (KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT)
// among them.
package leftovers

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/kernel/nft"
)

// KubeProxyTable is the nftables table of kube-proxy, in both families (pkg/proxy/nftables/proxier.go).
const KubeProxyTable = "kube-proxy"

// ipvsDevice holds the cluster IPs in kube-proxy's ipvs mode (pkg/proxy/ipvs/proxier.go).
const ipvsDevice = "kube-ipvs0"

// Remove removes the leftovers in the network namespace of the calling thread: the named nftables tables, and what the
// iptables and ipvs modes make. It returns what it removed, for people, and goes on after errors, which it joins.
// It is idempotent.
func Remove(ctx context.Context, nftTables ...string) (removed []string, err error) {
	var errs []error
	for _, step := range []func(context.Context) ([]string, error){
		func(ctx context.Context) ([]string, error) { return removeNFTTables(ctx, nftTables) },
		removeIPTables,
		removeIPVS,
		removeIPSets,
	} {
		done, err := step(ctx)
		removed = append(removed, done...)
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// removeNFTTables deletes the tables of these names in both families.
func removeNFTTables(ctx context.Context, names []string) (removed []string, err error) {
	conn, err := nft.Open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var errs []error
	for _, name := range names {
		for family, keyword := range map[nft.Family]string{nft.IPv4: "ip", nft.IPv6: "ip6"} {
			what := fmt.Sprintf("nftables table %s %s", keyword, name)
			found, err := removeNFTTable(ctx, conn, nft.Table{Family: family, Name: name})
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", what, err))
			} else if found {
				removed = append(removed, what)
			}
		}
	}
	return removed, errors.Join(errs...)
}

func removeNFTTable(ctx context.Context, conn *nft.Conn, t nft.Table) (found bool, err error) {
	var tx nft.Transaction
	tx.DeleteTable(t)
	err = conn.Run(ctx, &tx)
	switch {
	case nft.IsNotExist(err), nft.IsUnsupported(err):
		return false, nil
	}
	return err == nil, err
}

// removeIPVS removes the device of kube-proxy's ipvs mode with all cluster IPs, and the virtual servers that go by an
// address. Without the device, virtual servers are somebody else's; those that go by a mark are Switchyard's.
func removeIPVS(ctx context.Context) ([]string, error) {
	link, err := netlink.LinkByName(ipvsDevice)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", ipvsDevice, err)
	}
	var removed []string
	if servers, err := removeVirtualServers(ctx); err != nil {
		return nil, err
	} else if servers > 0 {
		removed = append(removed, fmt.Sprintf("%d ipvs virtual servers", servers))
	}
	if err := netlink.LinkDel(link); err != nil {
		return removed, fmt.Errorf("remove %s: %w", ipvsDevice, err)
	}
	return append(removed, "interface "+ipvsDevice), nil
}

func removeVirtualServers(ctx context.Context) (int, error) {
	if !ipvs.Loaded() {
		return 0, nil
	}
	conn, err := ipvs.Open()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.DeleteByAddress(ctx)
}

// removeIPSets destroys the sets of kube-proxy's ipvs mode; the iptables rules that use them must be gone.
func removeIPSets(context.Context) ([]string, error) {
	sets, err := netlink.IpsetListAll()
	if err != nil {
		// A kernel without ipset has none of these sets.
		return nil, nil
	}
	var removed []string
	var errs []error
	for _, set := range sets {
		if !isKubeProxySet(set.SetName) {
			continue
		}
		if err := netlink.IpsetDestroy(set.SetName); err != nil {
			errs = append(errs, fmt.Errorf("remove ipset %s: %w", set.SetName, err))
		} else {
			removed = append(removed, "ipset "+set.SetName)
		}
	}
	return removed, errors.Join(errs...)
}
