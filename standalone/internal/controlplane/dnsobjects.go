package controlplane

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // for the Corefile
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

const (
	// corefileAnnotation holds the hash of the Corefile that the cluster put into the ConfigMap: with it, a user's is told apart.
	corefileAnnotation = "standalone.switchyard.dev/corefile"
	// dnsRole is the name of the permissions that name servers have besides those of a service proxy.
	dnsRole = "standalone:dns"

	dnsPort     = 53
	metricsPort = 9153
	// maxNodeHints is how many nodes an endpoint may be hinted to (k8s.io/kubernetes/pkg/apis/discovery/validation).
	maxNodeHints = 8
)

// defaultCorefile is kubeadm's, but for autopath, which the nodes know their pods for, and for health and ready, which are the nodes'
// own business. The file /etc/resolv.conf is a node's.
//
//go:embed Corefile
var defaultCorefile string

// dnsService is the Service as kubeadm makes it, but for its selector, and of both families.
func dnsService() *corev1.Service {
	dual := corev1.IPFamilyPolicyPreferDualStack
	var addresses []string
	for _, addr := range cluster.DNSAddresses().All() {
		addresses = append(addresses, addr.String())
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: cluster.DNSService,
			Labels: map[string]string{
				"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS", cluster.DNSLabel: "true",
			},
			Annotations: map[string]string{"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: addresses[0], ClusterIPs: addresses, IPFamilyPolicy: &dual,
			Ports: []corev1.ServicePort{
				{Name: "dns", Protocol: corev1.ProtocolUDP, Port: dnsPort, TargetPort: intstr.FromInt32(dnsPort)},
				{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: dnsPort, TargetPort: intstr.FromInt32(dnsPort)},
				{Name: "metrics", Protocol: corev1.ProtocolTCP, Port: metricsPort, TargetPort: intstr.FromInt32(metricsPort)},
			},
		},
	}
}

// dnsSlices are the EndpointSlices of the Service, one a family. ready has node i at i-1.
func dnsSlices(spec *cluster.Spec, service *corev1.Service, ready []bool) []*discoveryv1.EndpointSlice {
	var ports []discoveryv1.EndpointPort
	for _, p := range service.Spec.Ports {
		number := cmp.Or(p.TargetPort.IntVal, p.Port)
		ports = append(ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &number})
	}
	var out []*discoveryv1.EndpointSlice
	for _, family := range []struct {
		suffix string
		kind   discoveryv1.AddressType
		of     func(cluster.Dual) netip.Addr
	}{
		{"nodes", discoveryv1.AddressTypeIPv4, func(d cluster.Dual) netip.Addr { return d.V4 }},
		{"nodes-v6", discoveryv1.AddressTypeIPv6, func(d cluster.Dual) netip.Addr { return d.V6 }},
	} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: service.Namespace, Name: service.Name + "-" + family.suffix,
				Labels:          map[string]string{discoveryv1.LabelServiceName: service.Name, discoveryv1.LabelManagedBy: "standalone.switchyard.dev", cluster.DNSLabel: "true"},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(service, corev1.SchemeGroupVersion.WithKind("Service"))},
			},
			AddressType: family.kind, Ports: ports,
		}
		for i := range ready {
			slice.Endpoints = append(slice.Endpoints, dnsEndpoint(spec, i+1, family.of(cluster.NodeAddress(i+1)), ready[i]))
		}
		out = append(out, slice)
	}
	return out
}

// dnsEndpoint is the name server of node i, counted from 1. Pods ask their own node's past the Service; who asks through it does so
// for want of that one, or is a process of the node itself. So an endpoint is for other nodes: for the eight that follow, in a ring.
func dnsEndpoint(spec *cluster.Spec, i int, addr netip.Addr, ready bool) discoveryv1.Endpoint {
	name, terminating := cluster.NodeName(i), false
	e := discoveryv1.Endpoint{
		Addresses:  []string{addr.String()},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: &terminating},
		NodeName:   &name, Hints: &discoveryv1.EndpointHints{},
	}
	if zone := spec.Zone(i); zone != "" {
		e.Zone = &zone
	}
	for n := range min(maxNodeHints, max(spec.Nodes-1, 1)) {
		other := (i+n)%spec.Nodes + 1
		e.Hints.ForNodes = append(e.Hints.ForNodes, discoveryv1.ForNode{Name: cluster.NodeName(other)})
	}
	return e
}

// ensureConfigMap makes the ConfigMap that the name servers take their Corefile from. What a user has written into it stays, unless
// up was told of another Corefile since.
func (k *dnsKeeper) ensureConfigMap(ctx context.Context) error {
	text := defaultCorefile
	if k.spec.Corefile != "" {
		data, err := os.ReadFile(k.spec.Corefile)
		if err != nil {
			return fmt.Errorf("--corefile: %w", err)
		}
		text = string(data)
	}
	maps := k.client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	have, err := maps.Get(ctx, cluster.DNSConfigMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: metav1.NamespaceSystem, Name: cluster.DNSConfigMap, Annotations: map[string]string{corefileAnnotation: hash(text)},
			},
			Data: map[string]string{cluster.CorefileKey: text},
		}, metav1.CreateOptions{})
	} else if err == nil {
		ours := have.Annotations[corefileAnnotation]
		edited := hash(have.Data[cluster.CorefileKey]) != ours
		if ours == hash(text) || edited && k.spec.Corefile == "" {
			return nil
		}
		metav1.SetMetaDataAnnotation(&have.ObjectMeta, corefileAnnotation, hash(text))
		have.Data = map[string]string{cluster.CorefileKey: text}
		_, err = maps.Update(ctx, have, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", metav1.NamespaceSystem, cluster.DNSConfigMap, err)
	}
	return nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ensurePermissions lets the nodes' service proxies read what a name server besides needs.
func (k *dnsKeeper) ensurePermissions(ctx context.Context) error {
	rbac, options := k.client.RbacV1(), metav1.CreateOptions{}
	meta := metav1.ObjectMeta{Name: dnsRole, Labels: map[string]string{cluster.DNSLabel: "true"}}
	read := []string{"get", "list", "watch"}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: cluster.ProxyUserName}}
	_, role := rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces", "pods"}, Verbs: read},
	}}, options)
	_, binding := rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: dnsRole},
	}, options)
	_, ofMap := rbac.Roles(metav1.NamespaceSystem).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{cluster.DNSConfigMap}, Verbs: read},
	}}, options)
	_, bindingOfMap := rbac.RoleBindings(metav1.NamespaceSystem).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: dnsRole},
	}, options)
	for _, err := range []error{role, binding, ofMap, bindingOfMap} {
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("give the name servers their permissions: %w", err)
		}
	}
	return nil
}
