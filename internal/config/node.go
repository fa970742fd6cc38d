// Package config turns what an administrator writes into the validated configuration of each component.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// Node is the configuration of `switchyard node`. The field names of errors are those of KubeProxyConfiguration, which
// users write.
type Node struct {
	// Name is the name of the Node object of this host.
	Name string
	// Mode is the proxy mode, one of Modes or ModeAuto.
	Mode string
	// NodeIP overrides the Node object's address of its family; the zero Addr: it does not.
	NodeIP netip.Addr
	// NodePortAddresses are networks or the keywords "primary", "localhost" and "all"; empty: "all".
	NodePortAddresses []string
	LocalPods         LocalPods
	Masquerade        Masquerade
	Sync              Sync
	// IPVS are settings of the ipvs mode alone.
	IPVS      IPVS
	Conntrack Conntrack
	Endpoints NodeEndpoints
	// Quarantine says what happens to endpoints that do not answer this node.
	Quarantine quarantine.Mode
	// DNS is the cluster DNS on the node.
	DNS DNS
	// OOMScoreAdj is written to /proc/self/oom_score_adj, -1000..1000; nil: leave it.
	OOMScoreAdj *int
	// IgnoreExternalIPs takes spec.externalIPs out of service (feature gate AllowServiceExternalIPs off, KEP-5707).
	IgnoreExternalIPs bool
	// AllowNetworkOverlap starts in spite of a Service network that collides with another network of the host.
	AllowNetworkOverlap bool
}

// LocalPods says how traffic of this node's pods is recognised (detectLocalMode).
type LocalPods struct {
	// Mode is ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix.
	Mode                string
	ClusterCIDRs        []string
	BridgeInterface     string
	InterfaceNamePrefix string
}

// The modes of LocalPods.
const (
	LocalByClusterCIDR     = "ClusterCIDR"
	LocalByNodeCIDR        = "NodeCIDR"
	LocalByBridge          = "BridgeInterface"
	LocalByInterfacePrefix = "InterfaceNamePrefix"
)

// Masquerade says whose source address is replaced.
type Masquerade struct {
	// All masquerades all traffic to cluster IPs.
	All bool
	// Bit of the packet mark that is used for it, 0..31.
	Bit int
}

// Sync says how often the kernel is written to; zero: proxy.Config's defaults.
type Sync struct {
	MinPeriod, Period time.Duration
}

// Conntrack are the settings of connection tracking; zero fields leave the kernel's.
type Conntrack struct {
	MaxPerCore, Min                            int
	TCPEstablishedTimeout, TCPCloseWaitTimeout time.Duration
	UDPTimeout, UDPStreamTimeout               time.Duration
	TCPBeLiberal                               bool
}

// NodeEndpoints are the ports that the node serves about itself.
type NodeEndpoints struct {
	// Healthz and Metrics are IP addresses with a port; empty: not served.
	Healthz, Metrics string
	// FailOnBind ends the process where one of them is taken, instead of trying again.
	FailOnBind bool
	// Profiling serves /debug/pprof on Metrics.
	Profiling bool
}

// DefaultNode returns the configuration of a node that was told nothing but its name.
func DefaultNode(name string) Node {
	node, err := DefaultNodeIn(ModeNFTables, name)
	if err != nil {
		panic("bug: the default configuration is refused: " + err.Error())
	}
	return node
}

// DefaultNodeIn returns the configuration of a node that was told nothing but its name and mode; empty: the default one.
// The error says which modes there are.
func DefaultNodeIn(mode, name string) (Node, error) {
	kp := DefaultKubeProxy()
	if mode != "" {
		kp.Mode = ProxyMode(mode)
	}
	node, _, err := FromKubeProxy(kp, name)
	return node, err
}

// Validate returns an error for each field that cannot be honoured, joined; nil: all can.
func (n Node) Validate() error {
	var errs []error
	refuse := func(path string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v: %s", path, value, want))
	}
	if n.Name == "" || n.Name != strings.TrimSpace(n.Name) {
		refuse("hostnameOverride", strconv.Quote(n.Name), "want the name of a Node object")
	}
	if n.Mode != ModeAuto && !slices.Contains(Modes(), n.Mode) {
		refuse("mode", strconv.Quote(n.Mode), "want "+strings.Join(Modes(), ", ")+" or "+ModeAuto)
	}
	if n.Masquerade.Bit < 0 || n.Masquerade.Bit > 31 {
		refuse(masqueradeBlock(n.Mode)+".masqueradeBit", n.Masquerade.Bit, "want 0 to 31")
	}
	if n.OOMScoreAdj != nil && (*n.OOMScoreAdj < -1000 || *n.OOMScoreAdj > 1000) {
		refuse("oomScoreAdj", *n.OOMScoreAdj, "want -1000 to 1000")
	}
	if _, err := plan.ParseNodePortAddresses(n.NodePortAddresses); err != nil {
		errs = append(errs, err)
	}
	if _, err := quarantine.ParseMode(string(n.Quarantine)); err != nil {
		errs = append(errs, fmt.Errorf("switchyard.quarantine: %w", err))
	}
	for path, address := range map[string]string{"healthzBindAddress": n.Endpoints.Healthz, "metricsBindAddress": n.Endpoints.Metrics} {
		if address == "" {
			continue
		}
		if a, err := netip.ParseAddrPort(address); err != nil || a.Port() == 0 {
			refuse(path, strconv.Quote(address), `want an IP address and a port, such as "0.0.0.0:10256" or "[::]:10256"`)
		}
	}
	errs = append(errs, n.LocalPods.validate(), n.DNS.validate(), n.Sync.validate(periodBlock(n.Mode)), n.IPVS.validate(), n.Conntrack.validate())
	return errors.Join(errs...)
}

func (l LocalPods) validate() error {
	var errs []error
	for i, cidr := range l.ClusterCIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			errs = append(errs, fmt.Errorf(`clusterCIDR: entry %d, %q: want a network such as "10.244.0.0/16"`, i, cidr))
		}
	}
	switch l.Mode {
	case LocalByClusterCIDR, LocalByNodeCIDR:
	case LocalByBridge:
		if l.BridgeInterface == "" {
			errs = append(errs, errors.New("detectLocal.bridgeInterface: must be set, as detectLocalMode is BridgeInterface"))
		}
	case LocalByInterfacePrefix:
		if l.InterfaceNamePrefix == "" {
			errs = append(errs, errors.New("detectLocal.interfaceNamePrefix: must be set, as detectLocalMode is InterfaceNamePrefix"))
		}
	default:
		errs = append(errs, fmt.Errorf("detectLocalMode: %q: want ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix", l.Mode))
	}
	for path, name := range map[string]string{"bridgeInterface": l.BridgeInterface, "interfaceNamePrefix": l.InterfaceNamePrefix} {
		// IFNAMSIZ is 16 with the final NUL (linux/if.h).
		if len(name) > 15 || strings.ContainsAny(name, "/ \t\n") {
			errs = append(errs, fmt.Errorf("detectLocal.%s: %q: no interface can have this name", path, name))
		}
	}
	return errors.Join(errs...)
}

// validate checks the periods, which are those of a block of the file.
func (s Sync) validate(block string) error {
	switch {
	case s.MinPeriod < 0:
		return fmt.Errorf("%s.minSyncPeriod: %s: want 0 or more", block, s.MinPeriod)
	case s.Period < 0:
		return fmt.Errorf("%s.syncPeriod: %s: want 0 or more", block, s.Period)
	case s.Period > 0 && s.MinPeriod > s.Period:
		return fmt.Errorf("%s.minSyncPeriod: %s: want no more than %[1]s.syncPeriod, %[3]s", block, s.MinPeriod, s.Period)
	}
	return nil
}

func (c Conntrack) validate() error {
	var errs []error
	for path, value := range map[string]int{"maxPerCore": c.MaxPerCore, "min": c.Min} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("conntrack.%s: %d: want 0 or more", path, value))
		}
	}
	for path, value := range map[string]time.Duration{
		"tcpEstablishedTimeout": c.TCPEstablishedTimeout, "tcpCloseWaitTimeout": c.TCPCloseWaitTimeout,
		"udpTimeout": c.UDPTimeout, "udpStreamTimeout": c.UDPStreamTimeout,
	} {
		if value < 0 {
			errs = append(errs, fmt.Errorf("conntrack.%s: %s: want 0 or more", path, value))
		}
	}
	return errors.Join(errs...)
}
