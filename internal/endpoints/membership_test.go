package endpoints

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

func podWith(namespace, name string, set map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set}}
}

func serviceWith(namespace, name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Selector: selector},
	}
}

// viewed returns the sorted names of the pods of a Service, nil if there is no such Service.
func viewed(m *membership, namespace, name string) []string {
	service, pods := m.View(namespace, name)
	if service == nil {
		return nil
	}
	names := []string{}
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return names
}

// model is the index's specification: what upstream does, walking everything with its own selectors.
type model struct {
	services map[types.NamespacedName]*corev1.Service
	pods     map[types.NamespacedName]*corev1.Pod
}

func (m model) pick(service *corev1.Service) []string {
	names := []string{}
	for _, pod := range m.pods {
		if pod.Namespace == service.Namespace && matches(service, pod.Labels) {
			names = append(names, pod.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (m model) servicesOf(namespace string, set map[string]string) []string {
	names := []string{}
	for _, service := range m.services {
		if service.Namespace == namespace && matches(service, set) {
			names = append(names, service.Name)
		}
	}
	slices.Sort(names)
	return names
}

func matches(service *corev1.Service, set map[string]string) bool {
	return service.Spec.Selector != nil && labels.ValidatedSetSelector(service.Spec.Selector).Matches(labels.Set(set))
}

// TestMembershipEqualsWalkingEverything makes random changes and holds every answer against the model.
func TestMembershipEqualsWalkingEverything(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		index := newMembership()
		want := model{map[types.NamespacedName]*corev1.Service{}, map[types.NamespacedName]*corev1.Pod{}}
		set := func() map[string]string {
			if random.IntN(10) == 0 {
				return nil
			}
			chosen := map[string]string{}
			for _, key := range []string{"app", "tier", "zone"} {
				if random.IntN(3) > 0 {
					chosen[key] = fmt.Sprint(random.IntN(3))
				}
			}
			return chosen
		}
		for range 400 {
			at := types.NamespacedName{Namespace: fmt.Sprint("ns", random.IntN(2)), Name: fmt.Sprint("o", random.IntN(8))}
			changeBoth(t, random.IntN(5), index, want, at, set)
			for name, service := range want.services {
				if diff := cmp.Diff(want.pick(service), viewed(index, name.Namespace, name.Name)); diff != "" {
					t.Fatalf("seed %d: pods of %s (selector %v): %s", seed, name, service.Spec.Selector, diff)
				}
			}
		}
		for name := range want.services {
			index.DeleteService(name.Namespace, name.Name)
		}
		for name := range want.pods {
			index.DeletePod(name)
		}
		if len(index.namespaces) != 0 {
			t.Errorf("seed %d: %d namespaces stay in the index after everything was deleted", seed, len(index.namespaces))
		}
	}
}

// changeBoth makes one change to the index and the model, and compares which Services it reports as touched.
func changeBoth(t *testing.T, kind int, index *membership, want model, at types.NamespacedName, set func() map[string]string) {
	t.Helper()
	sorted := func(names []string) []string {
		names = append([]string{}, names...)
		slices.Sort(names)
		return names
	}
	check := func(what string, got, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, sorted(got)); diff != "" {
			t.Fatalf("Services that chose pod %s %s: %s", at, what, diff)
		}
	}
	before := []string{}
	if known := want.pods[at]; known != nil {
		before = want.servicesOf(at.Namespace, known.Labels)
	}
	switch kind {
	case 0:
		service := serviceWith(at.Namespace, at.Name, set())
		index.SetService(service)
		want.services[at] = service
	case 1:
		index.DeleteService(at.Namespace, at.Name)
		delete(want.services, at)
	case 2:
		check("before its deletion", index.DeletePod(at), before)
		delete(want.pods, at)
	default:
		pod := podWith(at.Namespace, at.Name, set())
		gotBefore, gotAfter := index.SetPod(pod)
		want.pods[at] = pod
		check("before", gotBefore, before)
		check("after", gotAfter, want.servicesOf(at.Namespace, pod.Labels))
	}
}

func TestViewHandsOutTheLatestObjects(t *testing.T) {
	index := newMembership()
	index.SetService(serviceWith("ns", "web", map[string]string{"app": "web"}))
	index.SetPod(podWith("ns", "a", map[string]string{"app": "web"}))
	newer := podWith("ns", "a", map[string]string{"app": "web"})
	newer.ResourceVersion = "2"
	index.SetPod(newer)
	renewed := serviceWith("ns", "web", map[string]string{"app": "web"})
	renewed.ResourceVersion = "3"
	index.SetService(renewed)
	service, pods := index.View("ns", "web")
	if service != renewed || len(pods) != 1 || pods[0] != newer {
		t.Errorf("View = %v, %v; want the objects set last", service, pods)
	}
}

// TestSharedLabelIsNoAnchor guards the cost: of selectors that share one label and differ in another, at most one may
// be anchored at what they share.
func TestSharedLabelIsNoAnchor(t *testing.T) {
	index := newMembership()
	for i := range 100 {
		index.SetService(serviceWith("ns", fmt.Sprint("s", i), map[string]string{"a-part-of": "shop", "z-name": fmt.Sprint(i)}))
	}
	if shared := len(index.namespaces["ns"].anchored[labelPair{"a-part-of", "shop"}]); shared > 1 {
		t.Errorf("%d of 100 Services are anchored at the label they share", shared)
	}
}
