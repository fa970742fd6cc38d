package endpoints

import (
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// membership knows which pods each Service's selector chooses and which Services choose each pod. It is kept up to date
// by events, so that neither question walks a namespace:
//
//   - Pods of a namespace with equal labels form one group (the pods of a ReplicaSet do), and what a selector chooses is
//     always whole groups. A pod whose labels stay the same finds its Services by one map look-up.
//   - A new group finds its Services through one label pair (the anchor) of each selector, chosen as the one that
//     fewest other Services use; only Services anchored at one of the group's labels are compared in full.
//   - A new selector finds its groups the same way, through the pair that fewest groups carry.
//
// It is also the one source of Services for the controllers, so that a sync sees a Service and its pods as of the same
// moment. Safe for concurrent use; the objects it hands out must not be changed.
type membership struct {
	mu         sync.RWMutex
	namespaces map[string]*namespaceMembers // guarded by mu
}

// labelPair is one label of a pod, or one requirement of a selector.
type labelPair struct{ key, value string }

// namespaceMembers is the part of the index for one namespace: selectors never reach outside theirs.
type namespaceMembers struct {
	services map[string]*serviceMembers
	pods     map[string]*podMember
	groups   map[string]*podGroup // by labelsKey
	// anchored holds each Service with a selector under its anchor; one with an empty selector, which chooses every
	// pod, is under the zero pair.
	anchored map[labelPair]map[string]*serviceMembers
	carriers map[labelPair]map[*podGroup]struct{}
}

// serviceMembers is one Service and the groups that its selector chooses.
type serviceMembers struct {
	service *corev1.Service
	anchor  labelPair
	groups  map[*podGroup]struct{}
}

// podMember is one pod and the group it is in.
type podMember struct {
	pod   *corev1.Pod
	group *podGroup
}

// podGroup is the pods with one set of labels, never empty, and the Services that choose them.
type podGroup struct {
	key      string
	labels   map[string]string
	pods     map[string]*corev1.Pod
	services map[string]*serviceMembers
}

func newMembership() *membership {
	return &membership{namespaces: map[string]*namespaceMembers{}}
}

// View returns the Service and the pods its selector chooses, nil if there is no such Service. A Service without a
// selector has no pods. The slice is the caller's own.
func (m *membership) View(namespace, name string) (*corev1.Service, []*corev1.Pod) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ns := m.namespaces[namespace]
	if ns == nil || ns.services[name] == nil {
		return nil, nil
	}
	members := ns.services[name]
	count := 0
	for group := range members.groups {
		count += len(group.pods)
	}
	pods := make([]*corev1.Pod, 0, count)
	for group := range members.groups {
		for _, pod := range group.pods {
			pods = append(pods, pod)
		}
	}
	return members.service, pods
}

// SetService adds or replaces a Service.
func (m *membership) SetService(service *corev1.Service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ns := m.namespace(service.Namespace)
	if known := ns.services[service.Name]; known != nil {
		if sameSelector(known.service.Spec.Selector, service.Spec.Selector) {
			known.service = service
			return
		}
		ns.detach(known)
	}
	members := &serviceMembers{service: service, groups: map[*podGroup]struct{}{}}
	ns.services[service.Name] = members
	if service.Spec.Selector != nil {
		ns.attach(members)
	}
}

// DeleteService forgets a Service.
func (m *membership) DeleteService(namespace, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ns := m.namespaces[namespace]
	if ns == nil || ns.services[name] == nil {
		return
	}
	ns.detach(ns.services[name])
	delete(ns.services, name)
	m.dropIfEmpty(namespace)
}

// SetPod adds or replaces a pod and returns the names of the Services that chose it before and that choose it now.
func (m *membership) SetPod(pod *corev1.Pod) (before, after []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ns := m.namespace(pod.Namespace)
	known := ns.pods[pod.Name]
	if known != nil {
		before = known.group.serviceNames()
		if maps.Equal(known.group.labels, pod.Labels) {
			known.pod = pod
			known.group.pods[pod.Name] = pod
			return before, before
		}
		ns.leave(known)
	}
	group := ns.group(pod.Labels)
	group.pods[pod.Name] = pod
	ns.pods[pod.Name] = &podMember{pod: pod, group: group}
	return before, group.serviceNames()
}

// DeletePod forgets a pod and returns the names of the Services that chose it.
func (m *membership) DeletePod(pod types.NamespacedName) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ns := m.namespaces[pod.Namespace]
	if ns == nil || ns.pods[pod.Name] == nil {
		return nil
	}
	known := ns.pods[pod.Name]
	before := known.group.serviceNames()
	delete(ns.pods, pod.Name)
	ns.leave(known)
	m.dropIfEmpty(pod.Namespace)
	return before
}

// namespace returns the index of a namespace, made if need be. The caller holds mu.
func (m *membership) namespace(name string) *namespaceMembers {
	ns := m.namespaces[name]
	if ns == nil {
		ns = &namespaceMembers{
			services: map[string]*serviceMembers{},
			pods:     map[string]*podMember{},
			groups:   map[string]*podGroup{},
			anchored: map[labelPair]map[string]*serviceMembers{},
			carriers: map[labelPair]map[*podGroup]struct{}{},
		}
		m.namespaces[name] = ns
	}
	return ns
}

// dropIfEmpty forgets a namespace that holds nothing. The caller holds mu.
func (m *membership) dropIfEmpty(name string) {
	if ns := m.namespaces[name]; len(ns.services) == 0 && len(ns.pods) == 0 {
		delete(m.namespaces, name)
	}
}
