package corednsdiff

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// world is the state of the cluster that one goroutine changes.
type world struct {
	*rand.Rand
	client     kubernetes.Interface
	namespaces map[string]*corev1.Namespace
	services   map[string]*corev1.Service // by "name.namespace"
	slices     map[string]*discoveryv1.EndpointSlice
	pods       map[string]*corev1.Pod
	fixed      []fixture
	// known is what questions are made of.
	known atomic.Pointer[known]
}

// fixture is a Service that stays as it is.
type fixture struct {
	service *corev1.Service
	slice   *discoveryv1.EndpointSlice
}

// known are names and addresses of a world. It is immutable.
type known struct {
	refs      []string // "service.namespace"
	addresses []netip.Addr
}

func newWorld(ctx context.Context, client kubernetes.Interface, random *rand.Rand) (*world, error) {
	w := &world{
		Rand: random, client: client, namespaces: map[string]*corev1.Namespace{}, services: map[string]*corev1.Service{},
		slices: map[string]*discoveryv1.EndpointSlice{}, pods: map[string]*corev1.Pod{},
	}
	for _, name := range append(namespaces(), "kube-system") {
		if err := w.createNamespace(ctx, name); err != nil {
			return nil, err
		}
	}
	return w, w.createOddities(ctx)
}

func (w *world) pick(words ...string) string { return words[w.IntN(len(words))] }

// namespaces are those that there may be.
func namespaces() []string { return []string{"default", "alpha", "beta", "gamma", "delta"} }

// hostnames are those that endpoints may have.
func hostnames() []string { return []string{"web-0", "web-1", "db-0", "a", "x-y", "10-244-0-1"} }

// podNames is the number of pods that endpoints may be.
const podNames = 12

func podName(i int) string { return fmt.Sprintf("pod-%d", i) }

// change makes n random changes.
func (w *world) change(ctx context.Context, n int) error {
	for range n {
		var err error
		switch w.IntN(20) {
		case 0, 1, 2:
			err = w.replaceService(ctx)
		case 3:
			err = w.deleteService(ctx)
		case 4, 5:
			err = w.relabelService(ctx)
		case 6:
			err = w.flapNamespace(ctx)
		case 7:
			err = w.relabelNamespace(ctx)
		case 8, 9:
			err = w.replacePod(ctx)
		case 10, 11:
			err = w.deleteSlice(ctx)
		default:
			err = w.writeSlice(ctx)
		}
		// What is being deleted, or has no namespace, cannot be written. That is a change less.
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	w.publish()
	return nil
}

// publish makes the present names and addresses those that questions are made of.
func (w *world) publish() {
	k := &known{}
	refs := map[string]bool{}
	add := func(text string) {
		if addr, err := netip.ParseAddr(text); err == nil {
			k.addresses = append(k.addresses, addr)
		}
	}
	for ref, s := range w.services {
		refs[ref] = true
		for _, ip := range s.Spec.ClusterIPs {
			add(ip)
		}
	}
	for _, s := range w.slices {
		refs[s.Labels[discoveryv1.LabelServiceName]+"."+s.Namespace] = true
		for _, e := range s.Endpoints {
			add(e.Addresses[0])
		}
	}
	for _, f := range w.fixed {
		refs[f.service.Name+"."+f.service.Namespace] = true
		add(f.service.Spec.ClusterIP)
		for _, address := range f.slice.Endpoints[0].Addresses {
			add(address)
		}
	}
	for _, p := range w.pods {
		add(p.Status.PodIP)
	}
	k.refs = slices.Sorted(maps.Keys(refs))
	slices.SortFunc(k.addresses, netip.Addr.Compare)
	w.known.Store(k)
}

// createNamespace creates a namespace, with the service account that pods need.
func (w *world) createNamespace(ctx context.Context, name string) error {
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": w.pick("a", "b")}}
	made, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // the API server makes default
		made, err = w.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	w.namespaces[name] = made
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err = w.client.CoreV1().ServiceAccounts(name).Create(ctx, account, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// flapNamespace deletes a namespace, or makes it again. Its objects stay: no controller deletes them.
func (w *world) flapNamespace(ctx context.Context) error {
	name := w.pick("gamma", "delta")
	ns := w.namespaces[name]
	if ns == nil {
		return w.createNamespace(ctx, name)
	}
	delete(w.namespaces, name)
	if err := w.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	ns, err := w.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	ns.Spec.Finalizers = nil
	_, err = w.client.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{})
	return err
}

func (w *world) relabelNamespace(ctx context.Context) error {
	name := w.pick(namespaces()...)
	ns := w.namespaces[name]
	if ns == nil {
		return nil
	}
	ns = ns.DeepCopy()
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels["team"] = w.pick("a", "b")
	updated, err := w.client.CoreV1().Namespaces().Update(ctx, ns, metav1.UpdateOptions{})
	if err == nil {
		w.namespaces[name] = updated
	}
	return err
}

// replacePod gives one of the pods an address, or deletes it.
func (w *world) replacePod(ctx context.Context) error {
	i, number := w.IntN(3), w.IntN(podNames)
	namespace, name := namespaces()[i], podName(number)
	key := name + "." + namespace
	if w.pods[key] != nil {
		delete(w.pods, key)
		now := int64(0)
		return w.client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	pod, err := w.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = fmt.Sprintf("10.243.%d.%d", i, number)
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}, {IP: fmt.Sprintf("fd00:243::%x:%x", i+1, number)}}
	pod, err = w.client.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	if err == nil {
		w.pods[key] = pod
	}
	return err
}

// podAddress returns one of few addresses, so that Services share some.
func (w *world) podAddress(family int) netip.Addr {
	n := byte(w.IntN(30))
	if family == 6 {
		a := netip.MustParseAddr("fd00:244::").As16()
		a[13], a[15] = byte(w.IntN(2)), n
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, 244, byte(w.IntN(2)), n})
}
