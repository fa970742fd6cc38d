package endpointsdiff

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// namespace is that of all objects of a scenario.
const namespace = "default"

// step is one change, made to each cluster alike.
type step struct {
	name  string
	apply func(t *testing.T, c *endpointstest.Cluster)
}

// generator makes the changes of one scenario.
type generator struct {
	*rand.Rand
	count int
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 2))}
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func oneOf[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// next returns a change. Names come from small sets, so that objects meet.
func (g *generator) next() step {
	g.count++
	switch n := g.IntN(100); {
	case n < 25:
		return put(g.service(fmt.Sprint("s", g.IntN(4))))
	case n < 30:
		return remove("service", fmt.Sprint("s", g.IntN(4)))
	case n < 75:
		return put(g.pod(fmt.Sprint("p", g.IntN(8))))
	case n < 85:
		return remove("pod", fmt.Sprint("p", g.IntN(8)))
	case n < 95:
		return put(g.endpoints(fmt.Sprint("s", g.IntN(4))))
	case n < 97:
		return remove("endpoints", fmt.Sprint("s", g.IntN(4)))
	default:
		return put(endpointstest.Node(fmt.Sprint("n", g.IntN(2)), oneOf(g, "za", "zb")))
	}
}

func (g *generator) uid(name string) types.UID {
	return types.UID(fmt.Sprintf("%s-%d", name, g.count))
}

func (g *generator) selector() map[string]string {
	return oneOf(g, nil, map[string]string{"app": "a"}, map[string]string{"app": "b"}, map[string]string{"app": "a", "tier": "x"})
}

func (g *generator) service(name string) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: g.uid(name),
			CreationTimestamp: metav1.NewTime(endpointstest.Epoch().Add(time.Duration(g.count) * time.Second)),
			Labels:            oneOf(g, nil, map[string]string{"team": "x"}, map[string]string{"team": "y", "env": "z"}),
		},
		Spec: corev1.ServiceSpec{
			Selector:                 g.selector(),
			PublishNotReadyAddresses: g.chance(20),
			// By name, as the API lets no Service turn headless or back.
			ClusterIP: map[string]string{"s0": "10.96.0.1", "s1": "fd00:96::1"}[name],
			IPFamilies: oneOf(g, nil, []corev1.IPFamily{corev1.IPv4Protocol}, []corev1.IPFamily{corev1.IPv6Protocol},
				[]corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}),
			TrafficDistribution: oneOf(g, nil, nil, new(corev1.ServiceTrafficDistributionPreferClose),
				new(corev1.ServiceTrafficDistributionPreferSameNode)),
		},
	}
	if service.Spec.ClusterIP == "" {
		service.Spec.ClusterIP = corev1.ClusterIPNone
	}
	if g.chance(5) {
		service.Spec.Type = corev1.ServiceTypeExternalName
	}
	if g.chance(5) {
		service.Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"}
	}
	for i := range g.IntN(3) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name: fmt.Sprint("port", i), Port: int32(80 + i), Protocol: oneOf(g, corev1.ProtocolTCP, corev1.ProtocolUDP),
			TargetPort:  oneOf(g, intstr.FromInt32(8080), intstr.FromString("http"), intstr.FromString("side")),
			AppProtocol: oneOf(g, nil, nil, new("kubernetes.io/h2c")),
		})
	}
	return service
}

func (g *generator) pod(name string) *corev1.Pod {
	four, six := fmt.Sprint("10.0.0.", 1+g.IntN(9)), fmt.Sprint("fd00::", 1+g.IntN(9))
	ips := oneOf(g, []string{four}, []string{six}, []string{four, six}, []string{six, four}, nil)
	return endpointstest.Pod(name, "", func(pod *corev1.Pod) {
		pod.UID = types.UID("pod-" + name)
		pod.Labels = oneOf(g, nil, map[string]string{"app": "a"}, map[string]string{"app": "b"},
			map[string]string{"app": "a", "tier": "x"}, map[string]string{"app": "b", "tier": "x", "more": "m"})
		pod.Spec.NodeName = oneOf(g, "n0", "n0", "n1", "n1", "missing")
		if g.chance(30) {
			pod.Spec.Hostname, pod.Spec.Subdomain = "host-"+name, fmt.Sprint("s", g.IntN(4))
		}
		if g.chance(30) {
			pod.Spec.InitContainers = []corev1.Container{{
				RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
				Ports:         []corev1.ContainerPort{{Name: "side", ContainerPort: 9090, Protocol: corev1.ProtocolTCP}},
			}}
		}
		pod.Status.Phase = oneOf(g, corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed)
		pod.Status.PodIP, pod.Status.PodIPs = "", nil
		for i, ip := range ips {
			if i == 0 {
				pod.Status.PodIP = ip
			}
			pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: ip})
		}
		endpointstest.SetReady(g.chance(70))(pod)
		pod.Status.Conditions[0].LastTransitionTime = metav1.NewTime(endpointstest.Epoch().Add(time.Duration(g.count) * time.Minute))
		if g.chance(15) {
			pod.DeletionTimestamp = new(endpointstest.Epoch())
			pod.Finalizers = []string{"tests/keep"}
		}
	})
}

func (g *generator) endpoints(name string) *corev1.Endpoints {
	made := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: g.uid(name),
		Labels: oneOf(g, nil, map[string]string{"team": "x"}, map[string]string{"endpointslice.kubernetes.io/skip-mirror": "true"}),
		Annotations: oneOf(g, nil, nil, map[string]string{"note": "n", corev1.LastAppliedConfigAnnotation: "{}"},
			map[string]string{resourcelock.LeaderElectionRecordAnnotationKey: "{}"}),
	}}
	for range g.IntN(3) {
		var subset corev1.EndpointSubset
		for range 1 + g.IntN(4) {
			address := corev1.EndpointAddress{
				IP: oneOf(g, fmt.Sprint("192.0.2.", g.IntN(9)), fmt.Sprint("fd01::", g.IntN(9)), "not an address"),
			}
			if g.chance(30) {
				address.Hostname, address.NodeName = "h", new("n1")
			}
			if g.chance(70) {
				subset.Addresses = append(subset.Addresses, address)
			} else {
				subset.NotReadyAddresses = append(subset.NotReadyAddresses, address)
			}
		}
		for i := range g.IntN(3) {
			subset.Ports = append(subset.Ports, corev1.EndpointPort{
				Name: fmt.Sprint("port", i), Port: int32(8080 + g.IntN(2)), Protocol: corev1.ProtocolTCP,
			})
		}
		made.Subsets = append(made.Subsets, subset)
	}
	return made
}

// put creates the object, or replaces the one of its name.
func put(object runtime.Object) step {
	meta := object.(metav1.Object)
	return step{fmt.Sprintf("put %T %s", object, meta.GetName()), func(t *testing.T, c *endpointstest.Cluster) {
		t.Helper()
		var err error
		ctx, opts := context.Background(), metav1.UpdateOptions{}
		switch o := object.DeepCopyObject().(type) {
		case *corev1.Service:
			_, err = c.CoreV1().Services(namespace).Update(ctx, o, opts)
		case *corev1.Pod:
			_, err = c.CoreV1().Pods(namespace).Update(ctx, o, opts)
		case *corev1.Endpoints:
			_, err = c.CoreV1().Endpoints(namespace).Update(ctx, o, opts)
		case *corev1.Node:
			_, err = c.CoreV1().Nodes().Update(ctx, o, opts)
		}
		switch {
		case apierrors.IsNotFound(err):
			c.Create(t, object)
		case err != nil:
			t.Fatal(err)
		}
	}}
}

// remove deletes the object if it is there; of a Service also what the garbage collector would.
func remove(kind, name string) step {
	return step{"remove " + kind + " " + name, func(t *testing.T, c *endpointstest.Cluster) {
		t.Helper()
		var err error
		ctx, opts := context.Background(), metav1.DeleteOptions{}
		switch kind {
		case "service":
			err = c.CoreV1().Services(namespace).Delete(ctx, name, opts)
		case "pod":
			err = c.CoreV1().Pods(namespace).Delete(ctx, name, opts)
		case "endpoints":
			err = c.CoreV1().Endpoints(namespace).Delete(ctx, name, opts)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		collectGarbage(t, c)
	}}
}

// collectGarbage deletes slices whose owner is gone, as the garbage collector does.
func collectGarbage(t *testing.T, c *endpointstest.Cluster) {
	t.Helper()
	ctx := context.Background()
	slices, err := c.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, slice := range slices.Items {
		owner := slice.OwnerReferences[0]
		if owner.Kind == "Service" {
			_, err = c.CoreV1().Services(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		} else {
			_, err = c.CoreV1().Endpoints(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		}
		if !apierrors.IsNotFound(err) {
			continue
		}
		err = c.DiscoveryV1().EndpointSlices(namespace).Delete(ctx, slice.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
}
