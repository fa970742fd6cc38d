package node

import (
	"errors"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// watch returns what looks for endpoints that do not answer, in the network namespace of the thread, and what is to be
// called after its end; nil: nobody looks. What is missing for it is logged: Services work without.
func (n *Node) watch() (*quarantine.Watch, func()) {
	nothing := func() {}
	if n.config.Quarantine == quarantine.Off || n.mode.kind.mode == config.ModeUserspace { // which tries another endpoint by itself
		return nil, nothing
	}
	table, err := conntrack.Open()
	if err != nil {
		n.deps.Log.Warn("endpoints that do not answer are not looked for", "error", err)
		return nil, nothing
	}
	events, err := conntrack.Listen()
	if err != nil {
		n.deps.Log.Warn("endpoints that do not answer are not looked for", "error", errors.Join(err, table.Close()))
		return nil, nothing
	}
	n.prepareConntrack()
	watch := quarantine.New(n.config.Quarantine, quarantine.Deps{
		Events: events, Table: table, Reporter: n.events, Metrics: n.registry, Log: n.deps.Log,
	})
	return watch, func() {
		if err := errors.Join(events.Close(), table.Close()); err != nil {
			n.deps.Log.Warn("connection tracking is not closed", "error", err)
		}
	}
}

// prepareConntrack has the kernel count what comes back on connections: of a process that hangs, nothing else tells.
func (n *Node) prepareConntrack() {
	var kernel sysctl.Tree
	if err := kernel.SetInt("net.netfilter.nf_conntrack_acct", 1); err != nil {
		n.deps.Log.Warn("endpoints that accept connections and do not answer them are not noticed", "error", err)
	}
	if on, err := kernel.Int("net.netfilter.nf_conntrack_events"); err == nil && on == 0 {
		n.deps.Log.Warn("endpoints that do not answer are not noticed: the kernel does not tell of connections; " +
			"set the sysctl net.netfilter.nf_conntrack_events to 1, or --quarantine=off")
	}
}
