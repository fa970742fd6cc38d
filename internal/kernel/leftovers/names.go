package leftovers

import (
	"slices"
	"strings"
)

// chainNames are the iptables chains that kube-proxy has once (pkg/proxy/iptables/proxier.go, pkg/proxy/ipvs/proxier.go;
// KUBE-MARK-DROP and the nat table's KUBE-LOAD-BALANCER until 1.28).
var chainNames = []string{
	"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-FORWARD",
	"KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
	"KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER",
}

// chainPrefixes begin the names of the chains that it has per Service or endpoint (KUBE-XLB- until 1.23).
var chainPrefixes = []string{"KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-", "KUBE-XLB-"}

// setPrefixes begin the names of the ipsets of the ipvs mode (pkg/proxy/ipvs/ipset.go).
var setPrefixes = []string{
	"KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-LOAD-BALANCER", "KUBE-NODE-PORT", "KUBE-LOOP-BACK", "KUBE-HEALTH-CHECK-NODE-PORT",
	"KUBE-IPVS-IPS", "KUBE-6-",
}

func isKubeProxyChain(name string) bool {
	return slices.Contains(chainNames, name) || hasPrefixIn(name, chainPrefixes)
}

func isKubeProxySet(name string) bool { return hasPrefixIn(name, setPrefixes) }

func hasPrefixIn(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
