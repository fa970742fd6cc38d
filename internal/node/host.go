package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/model"
)

// addrSettle is how long to wait for further changes of the host's addresses before they are read.
const addrSettle = 100 * time.Millisecond

// prepareHost sets what a node wants of its host. What cannot be set is logged: Services work without.
func (n *Node) prepareHost() {
	c := n.config.Conntrack
	limits := conntrack.Limits{
		MaxPerCore: c.MaxPerCore, Min: c.Min,
		TCPEstablishedTimeout: c.TCPEstablishedTimeout, TCPCloseWaitTimeout: c.TCPCloseWaitTimeout,
		UDPTimeout: c.UDPTimeout, UDPStreamTimeout: c.UDPStreamTimeout,
		TCPBeLiberal: c.TCPBeLiberal,
	}
	for _, err := range unjoin(limits.Apply(conntrack.ThisMachine())) {
		n.deps.Log.Warn("a setting of connection tracking stays as it is", "error", err)
	}
	if n.config.OOMScoreAdj == nil {
		return
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*n.config.OOMScoreAdj)), 0o600); err != nil {
		n.deps.Log.Warn("oomScoreAdj is not set", "error", err)
	}
}

// unjoin returns the errors that errors.Join put together.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// families returns the IP families that the host has.
func families() []model.Family {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return []model.Family{model.IPv4}
	}
	if off, err := (sysctl.Tree{}).Int("net.ipv6.conf.all.disable_ipv6"); err == nil && off == 1 {
		return []model.Family{model.IPv4}
	}
	return []model.Family{model.IPv4, model.IPv6}
}

// followAddrs sends the host's addresses each time that they differ from before, until ctx is done.
func followAddrs(ctx context.Context, host *route.Host, before []netip.Addr, changed chan<- []netip.Addr) error {
	wake := make(chan struct{}, 1)
	watched := make(chan error, 1)
	go func() {
		watched <- host.WatchAddrs(ctx.Done(), func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	}()
	for {
		select {
		case <-ctx.Done():
			<-watched
			return nil
		case err := <-watched:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the kernel stopped telling of changed addresses: %w", err)
		case <-wake:
		}
		select {
		case <-ctx.Done():
			continue
		case <-time.After(addrSettle):
		}
		now, err := host.Addrs()
		if err != nil {
			return err
		}
		if slices.Equal(now, before) {
			continue
		}
		select {
		case changed <- now:
			before = now
		case <-ctx.Done():
		}
	}
}

// settled does what has waited for our rules to be in force.
func (n *Node) settled(ctx context.Context) {
	if n.deps.Settled != nil {
		n.deps.Settled()
	}
	n.removeOthers(ctx)
}
