package endpoints

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	sliceutil "k8s.io/endpointslice/util"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// benchSizes is the numbers of Services, all in one namespace; each has podsPerService pods.
var benchSizes = []int{100, 1000, 10000}

const podsPerService = 3

// benchPods returns the pods of Service i: as a chart labels them, with one label that all Services share.
func benchPods(i int) []*corev1.Pod {
	var pods []*corev1.Pod
	for p := range podsPerService {
		pods = append(pods, endpointstest.Pod(fmt.Sprintf("pod-%d-%d", i, p), fmt.Sprintf("10.%d.%d.%d", p, i/250, i%250), func(pod *corev1.Pod) {
			pod.Labels = map[string]string{
				"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/name": fmt.Sprint("app-", i), "pod-template-hash": "6d4cf56db6",
			}
		}))
	}
	return pods
}

func benchService(i int) *corev1.Service {
	return endpointstest.Service(fmt.Sprint("service-", i), func(service *corev1.Service) {
		service.Spec.Selector = map[string]string{
			"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/name": fmt.Sprint("app-", i),
		}
	})
}

func benchIndex(services int) *membership {
	index := newMembership()
	for i := range services {
		index.SetService(benchService(i))
		for _, pod := range benchPods(i) {
			index.SetPod(pod)
		}
	}
	return index
}

// podEventAndSyncRead is what a change of one pod costs before anything is written: finding the Services to sync, and
// the pods of the one that is.
func podEventAndSyncRead(index *membership, ready, unready *corev1.Pod, service string) int {
	before, after := index.SetPod(unready)
	names := touched(ready, unready, before, after)
	_, pods := index.View("default", service)
	return len(names) + len(pods)
}

// flippedPod returns the first pod of a Service, ready and unready.
func flippedPod(i int) (ready, unready *corev1.Pod) {
	ready = benchPods(i)[0]
	ready.ResourceVersion = "1"
	unready = ready.DeepCopy()
	unready.ResourceVersion = "2"
	endpointstest.SetReady(false)(unready)
	return ready, unready
}

func BenchmarkPodEvent(b *testing.B) {
	for _, services := range benchSizes {
		b.Run(fmt.Sprint("index/services=", services), func(b *testing.B) {
			index := benchIndex(services)
			ready, unready := flippedPod(services / 2)
			b.ReportAllocs()
			for b.Loop() {
				if n := podEventAndSyncRead(index, ready, unready, fmt.Sprint("service-", services/2)); n != 1+podsPerService {
					b.Fatalf("%d Services and pods found, want %d", n, 1+podsPerService)
				}
			}
		})
	}
	for _, services := range benchSizes {
		b.Run(fmt.Sprint("upstream/services=", services), func(b *testing.B) { benchUpstream(b, services) })
	}
}

// benchUpstream is what kube-controller-manager does for the same event: match the selector of each Service of the
// namespace, then list the pods of the namespace through the one's selector.
func benchUpstream(b *testing.B, services int) {
	indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	serviceStore := cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	podStore := cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	for i := range services {
		if err := serviceStore.Add(benchService(i)); err != nil {
			b.Fatal(err)
		}
		for _, pod := range benchPods(i) {
			if err := podStore.Add(pod); err != nil {
				b.Fatal(err)
			}
		}
	}
	serviceLister, podLister := corelisters.NewServiceLister(serviceStore), corelisters.NewPodLister(podStore)
	ready, unready := flippedPod(services / 2)
	b.ReportAllocs()
	for b.Loop() {
		names, err := sliceutil.GetServicesToUpdate(serviceLister, sliceutil.GetPodUpdateProjectionKey(ready, unready))
		if err != nil {
			b.Fatal(err)
		}
		selector := labels.Set(benchService(services / 2).Spec.Selector).AsSelectorPreValidated()
		pods, err := podLister.Pods("default").List(selector)
		if err != nil || len(names)+len(pods) != 1+podsPerService {
			b.Fatalf("%d Services, %d pods found: %v", len(names), len(pods), err)
		}
	}
}

// TestPodEventCostIsFlat compares what a pod's change allocates in a namespace of 100 Services and in one of 10,000;
// BenchmarkPodEvent shows the times.
func TestPodEventCostIsFlat(t *testing.T) {
	cost := func(services int) float64 {
		index := benchIndex(services)
		ready, unready := flippedPod(services / 2)
		name := fmt.Sprint("service-", services/2)
		return testing.AllocsPerRun(100, func() { podEventAndSyncRead(index, ready, unready, name) })
	}
	few, many := cost(100), cost(10000)
	if many > few {
		t.Errorf("a pod's change allocates %.0f times among 100 Services and %.0f times among 10,000; want the same", few, many)
	}
}

// BenchmarkNewGroup is the dearest event: the first pod of a new ReplicaSet.
func BenchmarkNewGroup(b *testing.B) {
	for _, services := range benchSizes {
		b.Run(fmt.Sprint("services=", services), func(b *testing.B) {
			index := benchIndex(services)
			pod := benchPods(services / 2)[0]
			pod.Name = "new"
			pod.Labels["pod-template-hash"] = "new"
			b.ReportAllocs()
			for b.Loop() {
				if _, after := index.SetPod(pod); len(after) != 1 {
					b.Fatalf("%d Services found, want 1", len(after))
				}
				index.DeletePod(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
			}
		})
	}
}

// BenchmarkNewService is a Service created in a namespace full of pods.
func BenchmarkNewService(b *testing.B) {
	for _, services := range benchSizes {
		b.Run(fmt.Sprint("services=", services), func(b *testing.B) {
			index := benchIndex(services)
			service := benchService(services / 2)
			service.Name = "new"
			for b.Loop() {
				index.SetService(service)
				index.DeleteService("default", "new")
			}
		})
	}
}
