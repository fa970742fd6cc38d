package corednsdiff

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// ref returns a Service's name and namespace, of few.
func (w *world) ref() (name, namespace string) {
	return w.pick("web", "db", "cache", "api", "queue", "mail", "auth", "x-1"), w.pick(namespaces()...)
}

// replaceService makes a Service, in the place of the one of that name.
func (w *world) replaceService(ctx context.Context) error {
	name, namespace := w.ref()
	key := name + "." + namespace
	if w.services[key] != nil {
		if err := w.client.CoreV1().Services(namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		delete(w.services, key)
	}
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": w.pick("web", "db", "other")}}, Spec: w.serviceSpec(),
	}
	made, err := w.client.CoreV1().Services(namespace).Create(ctx, s, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	w.services[key] = made
	return w.relabelSlices(ctx, made)
}

// serviceSpec returns a Service of any type.
func (w *world) serviceSpec() corev1.ServiceSpec {
	spec := corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: w.servicePorts()}
	switch w.IntN(10) {
	case 0, 1, 2, 3:
		spec.ClusterIP = corev1.ClusterIPNone
		spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyPreferDualStack)
		spec.PublishNotReadyAddresses = w.IntN(4) == 0
		if w.IntN(5) == 0 {
			spec.Ports = nil
		}
	case 4:
		spec.Type, spec.Ports = corev1.ServiceTypeExternalName, nil
		target, namespace := w.ref()
		spec.ExternalName = w.pick("www.example.com", "a.test", "nothing.org", "1.2.3.4", "none.default.svc.cluster.local",
			target+"."+namespace+".svc.cluster.local", target+"."+namespace+".svc.cluster.local")
	case 5, 6:
		spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyPreferDualStack)
	case 7:
		spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
	case 8:
		spec.Type = corev1.ServiceTypeNodePort
	}
	return spec
}

func (w *world) servicePorts() []corev1.ServicePort {
	all := []corev1.ServicePort{
		{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80},
		{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(5353)},
		{Name: "metrics", Protocol: corev1.ProtocolTCP, Port: 9100},
		{Name: "sig", Protocol: corev1.ProtocolSCTP, Port: 9},
	}
	if w.IntN(5) == 0 {
		all[0].Name = ""
		return all[:1]
	}
	first := w.IntN(len(all))
	return all[first : first+1+w.IntN(len(all)-first)]
}

func (w *world) anyService() (string, *corev1.Service) {
	if len(w.services) == 0 {
		return "", nil
	}
	keys := slices.Sorted(maps.Keys(w.services))
	key := keys[w.IntN(len(keys))]
	return key, w.services[key]
}

func (w *world) deleteService(ctx context.Context) error {
	key, s := w.anyService()
	if s == nil {
		return nil
	}
	delete(w.services, key)
	return w.client.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{})
}

// relabelService changes the label of a Service, and of its slices as the controllers do.
func (w *world) relabelService(ctx context.Context) error {
	key, s := w.anyService()
	if s == nil {
		return nil
	}
	s = s.DeepCopy()
	s.Labels["app"] = w.pick("web", "db", "other")
	updated, err := w.client.CoreV1().Services(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	w.services[key] = updated
	return w.relabelSlices(ctx, updated)
}

func (w *world) relabelSlices(ctx context.Context, s *corev1.Service) error {
	for key, slice := range w.slices {
		if slice.Namespace != s.Namespace || slice.Labels[discoveryv1.LabelServiceName] != s.Name {
			continue
		}
		slice = slice.DeepCopy()
		slice.Labels["app"] = s.Labels["app"]
		updated, err := w.client.DiscoveryV1().EndpointSlices(slice.Namespace).Update(ctx, slice, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		w.slices[key] = updated
	}
	return nil
}

// writeSlice creates a slice, or gives it other endpoints and ports. Its Service may not be there.
func (w *world) writeSlice(ctx context.Context) error {
	service, namespace := w.ref()
	family := []int{4, 4, 6}[w.IntN(3)]
	name := fmt.Sprintf("%s-v%d-%d", service, family, w.IntN(2))
	key := name + "." + namespace
	slice := w.slices[key]
	exists := slice != nil
	if exists {
		slice = slice.DeepCopy()
	} else {
		slice = &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
			AddressType: discoveryv1.AddressType(fmt.Sprintf("IPv%d", family)),
		}
		if s := w.services[service+"."+namespace]; s != nil {
			slice.Labels["app"] = s.Labels["app"]
		}
	}
	slice.Ports, slice.Endpoints = w.slicePorts(), nil
	for range w.IntN([]int{4, 4, 25}[w.IntN(3)]) {
		slice.Endpoints = append(slice.Endpoints, w.endpoint(family))
	}
	client := w.client.DiscoveryV1().EndpointSlices(namespace)
	var err error
	if exists {
		slice, err = client.Update(ctx, slice, metav1.UpdateOptions{})
	} else {
		slice, err = client.Create(ctx, slice, metav1.CreateOptions{})
	}
	if err == nil {
		w.slices[key] = slice
	}
	return err
}

func (w *world) slicePorts() []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range w.servicePorts() {
		out = append(out, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Protocol: ptr.To(p.Protocol), Port: ptr.To(p.Port + 8000)})
	}
	return out
}

// endpoint returns an endpoint with any of the properties that names depend on.
func (w *world) endpoint(family int) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{w.podAddress(family).String()}}
	switch w.IntN(6) {
	case 0:
	case 1:
		e.Conditions.Ready = ptr.To(false)
		e.Conditions.Serving, e.Conditions.Terminating = ptr.To(w.IntN(2) == 0), ptr.To(w.IntN(2) == 0)
	default:
		e.Conditions.Ready = ptr.To(true)
	}
	if w.IntN(3) == 0 {
		e.Hostname = ptr.To(w.pick(hostnames()...))
	}
	if w.IntN(2) == 0 {
		e.Zone = ptr.To(w.pick("za", "zone.b"))
	}
	if w.IntN(2) == 0 {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: podName(w.IntN(podNames))}
	}
	return e
}

func (w *world) deleteSlice(ctx context.Context) error {
	if len(w.slices) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(w.slices))
	key := keys[w.IntN(len(keys))]
	s := w.slices[key]
	delete(w.slices, key)
	return w.client.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{})
}
