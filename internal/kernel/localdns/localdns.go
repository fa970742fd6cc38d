// Package localdns makes the address of a Service one of this node's own for as long as a name server here serves it: packets
// to it are neither translated nor tracked, and take the Service's normal way at once when the server is gone, killed or not.
//
//	prerouting, raw   to the address and port, and a socket bound to that address would get it   notrack
//	output, raw       from the address and port                                                  notrack
//	local route       the address is this host's; without a socket that means nothing, as Services are translated before routing
//
// What is not tracked is not translated either (nf_nat), so this exempts from every backend that translates: nftables and iptables.
package localdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
)

// Table is the name of the nftables tables, one a family.
const Table = "switchyard-dns"

// rawPriority is before connection tracking (NF_IP_PRI_RAW).
const rawPriority = -300

// Hold puts the addresses in place for a server on a port. It replaces what a former call has left.
func Hold(ctx context.Context, addrs []netip.Addr, port uint16) error {
	host, err := route.Open()
	if err != nil {
		return err
	}
	defer host.Close()
	if err := errors.Join(host.SetLocal(addrs), allowBinding(addrs)); err != nil {
		return err
	}
	return eachFamily(func(conn *nft.Conn, f nft.Family) error {
		var tx nft.Transaction
		tx.DeleteTable(table(f))
		ruleset(&tx, f, addrs, port)
		err := conn.Run(ctx, &tx)
		if nft.IsNotExist(err) {
			tx.Reset()
			ruleset(&tx, f, addrs, port)
			err = conn.Run(ctx, &tx)
		}
		return err
	})
}

// allowBinding lets servers be bound to IPv6 addresses that are local by a route alone; to such of IPv4 they may be in any case. The
// setting stays: others may have come to need it.
func allowBinding(addrs []netip.Addr) error {
	const key = "net.ipv6.ip_nonlocal_bind"
	kernel := sysctl.Tree{}
	if !slices.ContainsFunc(addrs, netip.Addr.Is6) {
		return nil
	}
	if value, err := kernel.Int(key); err == nil && value != 0 {
		return nil
	}
	return kernel.SetInt(key, 1)
}

// Release removes everything but that setting, and reports whether there was something. It is idempotent.
func Release(ctx context.Context) (found bool, err error) {
	host, err := route.Open()
	if err != nil {
		return false, err
	}
	defer host.Close()
	err = eachFamily(func(conn *nft.Conn, f nft.Family) error {
		var tx nft.Transaction
		tx.DeleteTable(table(f))
		err := conn.Run(ctx, &tx)
		if nft.IsNotExist(err) {
			return nil
		}
		found = found || err == nil
		return err
	})
	return found, errors.Join(err, host.SetLocal(nil))
}

// eachFamily calls change for each family that the kernel has.
func eachFamily(change func(*nft.Conn, nft.Family) error) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	var errs []error
	for _, f := range []nft.Family{nft.IPv4, nft.IPv6} {
		if err := change(conn, f); err != nil && (f != nft.IPv6 || !nft.IsUnsupported(err)) {
			errs = append(errs, fmt.Errorf("%s %s: %w", f, Table, err))
		}
	}
	return errors.Join(errs...)
}

func table(f nft.Family) nft.Table {
	return nft.Table{Family: f, Name: Table, Comment: "addresses that a name server on this node serves"}
}

// ruleset makes the table of a family.
func ruleset(tx *nft.Transaction, f nft.Family, addrs []netip.Addr, port uint16) {
	t := table(f)
	tx.AddTable(t)
	tx.AddChain(t, nft.Chain{Name: "prerouting", Hook: &nft.Hook{Type: "filter", Number: nft.Prerouting, Priority: rawPriority}})
	tx.AddChain(t, nft.Chain{Name: "output", Hook: &nft.Hook{Type: "filter", Number: nft.Output, Priority: rawPriority}})
	number := []byte{byte(port >> 8), byte(port)}
	for _, addr := range addrs {
		if addr.Is4() != (f == nft.IPv4) {
			continue
		}
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			request := []nft.Expr{
				nft.LoadDestination(f, 0), nft.Equal(0, addr.AsSlice()), nft.LoadProtocol(0), nft.Equal(0, []byte{protocol}),
				nft.LoadPort(0), nft.Equal(0, number),
			}
			tx.AddRule(t, nft.Rule{Chain: "prerouting", Comment: "a server of all addresses is not meant", Exprs: append(request[:len(request):len(request)],
				nft.LoadSocketWildcard(0), nft.Equal(0, []byte{1}), nft.Take(nft.Verdict{Code: nft.Return}))})
			tx.AddRule(t, nft.Rule{Chain: "prerouting", Comment: "the server is there", Exprs: append(request[:len(request):len(request)],
				nft.LoadSocketTransparent(0), nft.Equal(0, []byte{0}), nft.NoTrack())})
			tx.AddRule(t, nft.Rule{Chain: "output", Comment: "its replies", Exprs: []nft.Expr{
				nft.LoadSource(f, 0), nft.Equal(0, addr.AsSlice()), nft.LoadProtocol(0), nft.Equal(0, []byte{protocol}),
				nft.LoadSourcePort(0), nft.Equal(0, number), nft.NoTrack(),
			}})
		}
	}
}
