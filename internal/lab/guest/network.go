package guest

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// The network between a guest and Machine.Network, of TEST-NET-2 (RFC 5737): it is routed nowhere else.
const (
	// HostAddress is where the namespace is reached from the guest.
	HostAddress = "198.51.100.1"
	// GuestAddress is where the guest is reached from the namespace.
	GuestAddress = "198.51.100.2"
	prefixLength = "/30"
)

// tapName is the name of the tap device in Machine.Network.
const tapName = "guest"

// connection is how a guest is connected.
type connection struct {
	enter        []string // the command that enters the namespace, which the kernel's own follows
	flags        uintptr  // of clone(2)
	arguments    []string // of the kernel
	guestAddress string   // with its prefix length; empty: no network
	remove       func() error
}

// connect makes the tap device in a namespace, until remove. Without one, the guest's kernel runs in an empty one.
func connect(ns *lab.Namespace) (connection, error) {
	if ns == nil {
		return connection{flags: unix.CLONE_NEWNET, remove: func() error { return nil }}, nil
	}
	tap := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP}
	tap.Name = tapName
	if err := ns.Do(func() error { return netlink.LinkAdd(tap) }); err != nil {
		return connection{}, fmt.Errorf("make the tap device %s in %s: %w", tapName, ns.Name(), err)
	}
	remove := func() error { return ns.Netlink().LinkDel(tap) }
	err := ns.AddAddress(tapName, netip.MustParsePrefix(HostAddress+prefixLength))
	if err == nil {
		err = ns.SetUp(tapName)
	}
	if err != nil {
		return connection{}, errors.Join(err, remove())
	}
	return connection{
		enter:        []string{"nsenter", "--net=" + ns.Path(), "--"},
		arguments:    []string{"vec0:transport=tap,ifname=" + tapName},
		guestAddress: GuestAddress + prefixLength,
		remove:       remove,
	}, nil
}
