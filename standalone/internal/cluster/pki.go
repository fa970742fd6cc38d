package cluster

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/switchyard-net/switchyard/standalone/internal/pki"
)

// Files in the directory of the PKI.
const (
	// CAName signs everything but the aggregation layer's client certificate.
	CAName = "ca"
	// FrontProxyCAName signs the aggregation layer's client certificate.
	FrontProxyCAName = "front-proxy-ca"
	// FrontProxyName is the aggregation layer's client certificate.
	FrontProxyName = "front-proxy-client"
	// ServiceAccountsName is the key of service account tokens.
	ServiceAccountsName = "service-accounts"
	// APIServerName is the API server's serving certificate.
	APIServerName = "apiserver"
	// KubeletClientName is the certificate by which the API server calls kubelets.
	KubeletClientName = "apiserver-kubelet-client"
)

// KubeletServing is the name of a node's serving certificate.
func KubeletServing(node string) string { return "kubelet-" + node }

// Users of component kubeconfigs.
const (
	ControllerManagerUser = "controller-manager"
	SchedulerUser         = "scheduler"
	ControllerUser        = "switchyard-controller"
	ProxyUser             = "switchyard-node"
)

// ProxyUserName is who the API server takes a node's service proxy for.
const ProxyUserName = "system:kube-proxy"

// administrators is the group that may do everything.
const administrators = "system:masters"

// writePKI writes the certificates of every component, and the kubeconfigs.
func writePKI(spec *Spec) error {
	dir := spec.PKI()
	ca, err := pki.LoadAuthority(dir, CAName)
	if err != nil {
		return err
	}
	frontProxy, err := pki.LoadAuthority(dir, FrontProxyCAName)
	if err != nil {
		return err
	}
	if err := pki.LoadSigningKey(dir, ServiceAccountsName); err != nil {
		return err
	}
	type signature struct {
		by   *pki.Authority
		name string
		leaf pki.Leaf
	}
	signatures := []signature{
		{ca, APIServerName, apiServerLeaf()},
		{ca, KubeletClientName, pki.Leaf{CommonName: "kube-apiserver-kubelet-client", Organizations: []string{administrators}}},
		{frontProxy, FrontProxyName, pki.Leaf{CommonName: FrontProxyName}},
	}
	for i, node := range spec.NodeNames() {
		leaf := pki.Leaf{CommonName: "system:node:" + node, Names: []string{node}, Addresses: NodeAddress(i + 1).All()}
		signatures = append(signatures, signature{ca, KubeletServing(node), leaf})
	}
	for _, s := range signatures {
		pair, err := s.by.Sign(s.leaf)
		if err != nil {
			return err
		}
		if err := pair.Write(dir, s.name); err != nil {
			return err
		}
	}
	return writeKubeconfigs(spec, ca)
}

// apiServerLeaf lists what the API server is called: by users on the host, by components on the LAN and by pods.
func apiServerLeaf() pki.Leaf {
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + ClusterDomain}
	addresses := append(ControlPlaneAddress().All(),
		netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(),
		// The first addresses of ServiceCIDRs are those of the Service kubernetes.
		netip.AddrFrom4([4]byte{10, 96, 0, 1}), netip.MustParseAddr("fd00:10:96::1"))
	return pki.Leaf{CommonName: "kube-apiserver", Names: names, Addresses: addresses}
}

// writeKubeconfigs writes the kubeconfig of the user, which leads to the relay, and those of the components, which lead
// to the control plane's address on the LAN.
func writeKubeconfigs(spec *Spec, ca *pki.Authority) error {
	relay := fmt.Sprintf("https://127.0.0.1:%d", spec.Port)
	direct := "https://" + netip.AddrPortFrom(ControlPlaneAddress().V4, APIPort).String()
	leaves := map[string]pki.Leaf{
		ControllerManagerUser: {CommonName: "system:kube-controller-manager", Organizations: []string{administrators}},
		SchedulerUser:         {CommonName: "system:kube-scheduler"},
		ControllerUser:        {CommonName: ControllerUser, Organizations: []string{administrators}},
		// The roles that the API server gives kube-proxy fit ours.
		ProxyUser: {CommonName: ProxyUserName},
	}
	for _, node := range spec.NodeNames() {
		leaves[node] = pki.Leaf{CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}}
	}
	for component, leaf := range leaves {
		if err := pki.WriteKubeconfig(spec.ComponentKubeconfig(component), direct, ca, leaf); err != nil {
			return err
		}
	}
	admin := pki.Leaf{CommonName: "standalone-admin", Organizations: []string{administrators}}
	if err := pki.WriteKubeconfig(spec.KubeconfigInside(), direct, ca, admin); err != nil {
		return err
	}
	return pki.WriteKubeconfig(spec.Kubeconfig(), relay, ca, admin)
}

// PKIFile returns a file of the PKI, such as "ca.crt".
func (s *Spec) PKIFile(name string) string { return filepath.Join(s.PKI(), name) }
