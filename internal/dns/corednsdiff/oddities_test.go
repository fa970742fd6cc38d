package corednsdiff

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// oddities are headless Services with endpoints that both servers may read differently, by name. The last byte of their addresses,
// in 10.245.0.0/24, tells them apart.
func oddities() map[string]discoveryv1.Endpoint {
	return map[string]discoveryv1.Endpoint{
		"fqdn":     {Addresses: []string{"host.example.com"}},
		"two":      {Addresses: []string{"10.245.0.1", "10.245.0.2"}},
		"dotted":   {Addresses: []string{"10.245.0.3"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: "a.b"}},
		"not-pods": {Addresses: []string{"10.245.0.4"}, TargetRef: &corev1.ObjectReference{Kind: "Node", Name: "node-1"}},
	}
}

// createOddities creates them in the namespace default, where nothing changes them.
func (w *world) createOddities(ctx context.Context) error {
	for name, endpoint := range oddities() {
		s := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
			Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}
		if err := w.createFixed(ctx, "default", s, endpoint); err != nil {
			return err
		}
	}
	return nil
}

// createOwn creates the Service that both servers are endpoints of.
func (w *world) createOwn(ctx context.Context) error {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.10", Ports: []corev1.ServicePort{{Name: "http", Port: 53}}},
	}
	return w.createFixed(ctx, "kube-system", s, discoveryv1.Endpoint{Addresses: []string{serverAddress.Addr().String()}})
}

// createFixed creates a Service with a slice of one endpoint, which stay as they are.
func (w *world) createFixed(ctx context.Context, namespace string, s *corev1.Service, endpoint discoveryv1.Endpoint) error {
	made, err := w.client.CoreV1().Services(namespace).Create(ctx, s, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create Service %s: %w", s.Name, err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: s.Name, Labels: map[string]string{"app": "web", discoveryv1.LabelServiceName: s.Name}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{endpoint},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](80)}},
	}
	if s.Name == "fqdn" {
		slice.AddressType = discoveryv1.AddressTypeFQDN
	}
	if slice, err = w.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create EndpointSlice %s: %w", s.Name, err)
	}
	w.fixed = append(w.fixed, fixture{made, slice})
	return nil
}
