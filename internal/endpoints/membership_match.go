package endpoints

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// attach anchors a Service and joins it with the groups it chooses.
func (ns *namespaceMembers) attach(members *serviceMembers) {
	selector := members.service.Spec.Selector
	members.anchor = ns.anchorFor(selector)
	if ns.anchored[members.anchor] == nil {
		ns.anchored[members.anchor] = map[string]*serviceMembers{}
	}
	ns.anchored[members.anchor][members.service.Name] = members
	if len(selector) == 0 {
		for _, group := range ns.groups {
			join(members, group)
		}
		return
	}
	for group := range ns.fewestCarriers(selector) {
		if chooses(selector, group.labels) {
			join(members, group)
		}
	}
}

// detach undoes attach.
func (ns *namespaceMembers) detach(members *serviceMembers) {
	for group := range members.groups {
		delete(group.services, members.service.Name)
	}
	if at := ns.anchored[members.anchor]; at != nil {
		delete(at, members.service.Name)
		if len(at) == 0 {
			delete(ns.anchored, members.anchor)
		}
	}
}

// anchorFor returns the pair of the selector that fewest Services are anchored at, so that a label which many Services
// share (app.kubernetes.io/part-of) does not gather them all. Ties go to the first key, to be deterministic.
func (ns *namespaceMembers) anchorFor(selector map[string]string) labelPair {
	var best labelPair
	for key, value := range selector {
		pair := labelPair{key, value}
		switch few, fewest := len(ns.anchored[pair]), len(ns.anchored[best]); {
		case best == labelPair{}, few < fewest, few == fewest && key < best.key:
			best = pair
		}
	}
	return best
}

// fewestCarriers returns the groups that carry the rarest pair of a selector that is not empty.
func (ns *namespaceMembers) fewestCarriers(selector map[string]string) map[*podGroup]struct{} {
	var rarest map[*podGroup]struct{}
	first := true
	for key, value := range selector {
		carriers := ns.carriers[labelPair{key, value}]
		if first || len(carriers) < len(rarest) {
			rarest, first = carriers, false
		}
	}
	return rarest
}

// group returns the group of these labels, made and joined with the Services that choose it if need be.
func (ns *namespaceMembers) group(labels map[string]string) *podGroup {
	key := labelsKey(labels)
	if group := ns.groups[key]; group != nil {
		return group
	}
	group := &podGroup{
		key:      key,
		labels:   labels,
		pods:     map[string]*corev1.Pod{},
		services: map[string]*serviceMembers{},
	}
	ns.groups[key] = group
	ns.joinAnchored(group, labelPair{})
	for name, value := range labels {
		pair := labelPair{name, value}
		if ns.carriers[pair] == nil {
			ns.carriers[pair] = map[*podGroup]struct{}{}
		}
		ns.carriers[pair][group] = struct{}{}
		ns.joinAnchored(group, pair)
	}
	return group
}

// joinAnchored joins the group with the Services anchored at the pair that choose it.
func (ns *namespaceMembers) joinAnchored(group *podGroup, pair labelPair) {
	for _, members := range ns.anchored[pair] {
		if chooses(members.service.Spec.Selector, group.labels) {
			join(members, group)
		}
	}
}

// leave takes a pod out of its group, and drops the group with its last pod.
func (ns *namespaceMembers) leave(member *podMember) {
	group := member.group
	delete(group.pods, member.pod.Name)
	if len(group.pods) > 0 {
		return
	}
	delete(ns.groups, group.key)
	for _, members := range group.services {
		delete(members.groups, group)
	}
	for name, value := range group.labels {
		pair := labelPair{name, value}
		delete(ns.carriers[pair], group)
		if len(ns.carriers[pair]) == 0 {
			delete(ns.carriers, pair)
		}
	}
}

func join(members *serviceMembers, group *podGroup) {
	members.groups[group] = struct{}{}
	group.services[members.service.Name] = members
}

// serviceNames returns the names of the Services that choose the group.
func (g *podGroup) serviceNames() []string {
	names := make([]string, 0, len(g.services))
	for name := range g.services {
		names = append(names, name)
	}
	return names
}

// chooses reports whether the labels meet every requirement of the selector; an empty one is met by all.
func chooses(selector, labels map[string]string) bool {
	for key, want := range selector {
		if got, ok := labels[key]; !ok || got != want {
			return false
		}
	}
	return true
}

// sameSelector reports whether two selectors choose the same pods: none (nil) and all (empty) are different.
func sameSelector(a, b map[string]string) bool {
	return (a == nil) == (b == nil) && maps.Equal(a, b)
}

// labelsKey returns one string for a set of labels; different sets have different strings.
func labelsKey(labels map[string]string) string {
	keys := make([]string, 0, len(labels))
	size := 0
	for key, value := range labels {
		keys = append(keys, key)
		size += len(key) + len(value) + 8
	}
	slices.Sort(keys)
	var b strings.Builder
	b.Grow(size)
	for _, key := range keys {
		// Lengths make the string unambiguous whatever the labels contain.
		for _, part := range []string{key, labels[key]} {
			b.WriteString(strconv.Itoa(len(part)))
			b.WriteByte(':')
			b.WriteString(part)
		}
	}
	return b.String()
}
