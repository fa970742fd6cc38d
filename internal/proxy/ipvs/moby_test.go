package ipvs

import (
	"context"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	moby "github.com/moby/ipvs"

	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// mobyView returns the virtual servers as moby/ipvs reads them, without those of others if there is no handle.
func mobyView(t *testing.T, ns *lab.Namespace, handle *moby.Handle) []string {
	t.Helper()
	if handle == nil {
		return []string{"IPv4 mark 0x7 rr 0s []", "IPv4 mark 0x0 rr 0s []"}
	}
	var out []string
	all, err := handle.GetServices()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		list, err := handle.GetDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		family, timeout := model.IPv4, time.Duration(0)
		if s.AddressFamily == syscall.AF_INET6 {
			family = model.IPv6
		}
		if s.Flags&1 != 0 {
			timeout = time.Duration(s.Timeout) * time.Second
		}
		var servers []string
		for _, d := range list {
			servers = append(servers, fmt.Sprintf("%s %d", net.JoinHostPort(d.Address.String(), fmt.Sprint(d.Port)), d.Weight))
		}
		slices.Sort(servers)
		out = append(out, fmt.Sprintf("%s mark %#x %s %s %v", family, s.FWMark, s.SchedName, timeout, servers))
	}
	slices.Sort(out)
	return out
}

// dumpOf returns the same of an IPVS of ours.
func dumpOf(
	t *testing.T, services func(context.Context) ([]ipvs.Service, error),
	serversOf func(context.Context, ipvs.Key, []ipvs.Server) ([]ipvs.Server, error),
) []string {
	t.Helper()
	all, err := services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		list, err := serversOf(t.Context(), s.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		var servers []string
		for _, d := range list {
			servers = append(servers, fmt.Sprintf("%s %d", d.Addr, d.Weight))
		}
		slices.Sort(servers)
		out = append(out, fmt.Sprintf("%s mark %#x %s %s %v", s.Key.Family, s.Key.Mark, s.Scheduler, s.Persistence, servers))
	}
	slices.Sort(out)
	return out
}
