package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

var entryPod = model.Ref{Namespace: "ingress", Name: "entry-1"}

// bench is a Writer with the API server's Ingresses.
type bench struct {
	t      *testing.T
	client *fake.Clientset
	writer *Writer
	snap   model.Snapshot
	stop   context.CancelFunc
	ended  chan error
}

// start lets a Writer follow two Ingresses of ours; a third one is another's.
func start(t *testing.T, cfg Config, objects ...runtime.Object) *bench {
	t.Helper()
	for i := range 3 {
		objects = append(objects, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint(i)}})
	}
	client := fake.NewClientset(objects...)
	b := &bench{t: t, client: client, writer: New(cfg, Deps{Client: client, Log: slog.New(slog.DiscardHandler)})}
	ctx, cancel := context.WithCancel(t.Context())
	b.stop, b.ended = cancel, make(chan error, 1)
	go func() { b.ended <- b.writer.Run(ctx) }()
	b.follow()
	return b
}

// follow tells the Writer the present state, as the source would.
func (b *bench) follow() {
	b.t.Helper()
	list, err := b.client.NetworkingV1().Ingresses("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	var ours model.Table[model.Ref, *model.Ingress]
	changes := model.Changes{IngressStatuses: map[model.Ref]struct{}{}}
	for i := range list.Items {
		ingress := source.Ingress(&list.Items[i])
		b.snap.Ingresses = b.snap.Ingresses.With(ingress.Ref, ingress)
		changes.IngressStatuses[ingress.Ref] = struct{}{}
		if ingress.Ref.Name != "2" {
			ours = ours.With(ingress.Ref, ingress)
		}
	}
	snap := b.snap
	b.writer.Follow(ours, &snap, changes)
	synctest.Wait()
}

// statuses returns what the API server has.
func (b *bench) statuses() map[string][]string {
	b.t.Helper()
	list, err := b.client.NetworkingV1().Ingresses("").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string][]string{}
	for _, i := range list.Items {
		for _, a := range i.Status.LoadBalancer.Ingress {
			out[i.Name] = append(out[i.Name], a.IP+a.Hostname)
		}
	}
	return out
}

func (b *bench) want(about string, want map[string][]string) {
	b.t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, b.statuses()); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", about, diff)
	}
}

func (b *bench) patches() int {
	return len(slices.DeleteFunc(b.client.Actions(), func(a clienttesting.Action) bool { return a.GetVerb() != "patch" }))
}

func (b *bench) end() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Error(err)
	}
}

var fixed = Config{Addresses: []model.IngressAddress{{Hostname: "lb.example.com"}, {Addr: netip.MustParseAddr("192.0.2.1")}}, RemoveOnShutdown: true}

func TestWritesOnlyWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, fixed)
		both := []string{"lb.example.com", "192.0.2.1"}
		b.want("written", map[string][]string{"0": both, "1": both})
		b.follow()
		time.Sleep(time.Hour)
		if n := b.patches(); n != 2 {
			t.Errorf("%d writes, want one for each Ingress", n)
		}
		b.end()
		if err := b.writer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		b.want("removed on shutdown", map[string][]string{})
	})
}

// TestDoesNotFight has another controller overwrite a status each second.
func TestDoesNotFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, fixed)
		b.follow()
		for range 120 {
			_, err := b.client.NetworkingV1().Ingresses("shop").UpdateStatus(t.Context(), &networkingv1.Ingress{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "0"},
				Status: networkingv1.IngressStatus{LoadBalancer: networkingv1.IngressLoadBalancerStatus{
					Ingress: []networkingv1.IngressLoadBalancerIngress{{IP: "198.51.100.1"}},
				}},
			}, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b.follow()
			time.Sleep(time.Second)
		}
		if n := b.patches(); n < 4 || n > 8 {
			t.Errorf("%d writes in two minutes of quarrel, want one in half a minute", n)
		}
		b.end()
	})
}

func TestFailuresAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{Service: model.Ref{Namespace: "ingress", Name: "entry"}})
		var broken atomic.Bool
		broken.Store(true)
		b.client.PrependReactor("patch", "ingresses", func(clienttesting.Action) (bool, runtime.Object, error) {
			return broken.Load(), nil, errors.New("no route to the API server")
		})
		b.want("no Service", map[string][]string{})
		service := &model.Service{
			Ref: model.Ref{Namespace: "ingress", Name: "entry"}, Type: model.LoadBalancer,
			Ingress: []model.BalancerAddress{{Addr: netip.MustParseAddr("192.0.2.7")}}, IngressNames: []string{"lb.example.com"},
		}
		b.snap.Services = b.snap.Services.With(service.Ref, service)
		b.follow()
		time.Sleep(time.Minute)
		b.want("refused", map[string][]string{})
		broken.Store(false)
		time.Sleep(time.Minute)
		both := []string{"lb.example.com", "192.0.2.7"}
		b.want("at last", map[string][]string{"0": both, "1": both})
		b.end()
	})
}

func pod(name, node string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ingress", Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

func node(name string, addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: addresses}}
}

func TestNodesOfThePods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := map[string]string{"app": "entry", "pod-template-hash": "1"}, map[string]string{"app": "entry", "pod-template-hash": "2"}
		starting := pod("entry-1", "node-1", first)
		starting.Status.Phase = corev1.PodPending // the API is a little behind
		b := start(t, Config{Pod: entryPod, RemoveOnShutdown: true},
			starting, pod("entry-2", "node-2", second), pod("other", "node-3", map[string]string{"app": "other"}),
			node("node-1", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}),
			node("node-2", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.2"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "203.0.113.2"}),
			node("node-3", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.3"}))
		two := []string{"10.0.0.1", "203.0.113.2"}
		b.want("two nodes", map[string][]string{"0": two, "1": two})
		b.follow()
		b.end()
		if err := b.writer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		b.want("another pod is left", map[string][]string{"0": two, "1": two})
		if err := b.client.CoreV1().Pods("ingress").Delete(t.Context(), "entry-2", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := b.writer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		b.want("the last one ends", map[string][]string{})
	})
}

func TestAddressesOfServices(t *testing.T) {
	addr := netip.MustParseAddr
	for name, c := range map[string]struct {
		service model.Service
		want    []string
	}{
		"ClusterIP":     {model.Service{ClusterIPs: []netip.Addr{addr("10.96.0.1")}}, []string{"10.96.0.1"}},
		"NodePort":      {model.Service{Type: model.NodePort, ClusterIPs: []netip.Addr{addr("10.96.0.1")}}, []string{"10.96.0.1"}},
		"external IPs":  {model.Service{Type: model.NodePort, ClusterIPs: []netip.Addr{addr("10.96.0.1")}, ExternalIPs: []netip.Addr{addr("192.0.2.9")}}, []string{"192.0.2.9"}},
		"pending":       {model.Service{Type: model.LoadBalancer, ClusterIPs: []netip.Addr{addr("10.96.0.1")}}, nil},
		"ExternalName":  {model.Service{Type: model.ExternalName, ExternalName: "entry.example.com"}, []string{"entry.example.com"}},
		"both families": {model.Service{ClusterIPs: []netip.Addr{addr("fd00::1"), addr("10.96.0.1")}}, []string{"10.96.0.1", "fd00::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, a := range ofService(&c.service) {
				if a.Hostname != "" {
					got = append(got, a.Hostname)
				} else {
					got = append(got, a.Addr.String())
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
