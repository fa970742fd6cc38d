package endpoints

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trim is the informers' transform: of each object it keeps what the controllers read. A pod shrinks from several
// kilobytes to a few hundred bytes, which is most of this process's memory in a large cluster. It returns objects of
// other kinds, and tombstones, as they are; the error is always nil.
func trim(obj any) (any, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		return trimPod(o), nil
	case *corev1.Node:
		return trimNode(o), nil
	case *corev1.Service:
		o.ManagedFields = nil
		o.Status = corev1.ServiceStatus{}
		delete(o.Annotations, corev1.LastAppliedConfigAnnotation)
	case *corev1.Endpoints:
		o.ManagedFields = nil
	case *discoveryv1.EndpointSlice:
		o.ManagedFields = nil
	}
	return obj, nil
}

// trimPod keeps a pod's identity, labels, host name, node, addresses, phase, Ready condition and named ports.
func trimPod(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:         pod.Namespace,
			Name:              pod.Name,
			UID:               pod.UID,
			ResourceVersion:   pod.ResourceVersion,
			Labels:            pod.Labels,
			DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			NodeName:       pod.Spec.NodeName,
			Hostname:       pod.Spec.Hostname,
			Subdomain:      pod.Spec.Subdomain,
			Containers:     containersWithNamedPorts(pod.Spec.Containers),
			InitContainers: containersWithNamedPorts(pod.Spec.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase:      pod.Status.Phase,
			PodIP:      pod.Status.PodIP,
			PodIPs:     pod.Status.PodIPs,
			Conditions: podConditionsOf(pod.Status.Conditions, corev1.PodReady),
		},
	}
}

// containersWithNamedPorts keeps what resolving a Service's named targetPort needs, in the containers' order: a
// container's named ports and whether it is a sidecar (an init container that restarts always).
func containersWithNamedPorts(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		var ports []corev1.ContainerPort
		for _, port := range containers[i].Ports {
			if port.Name != "" {
				ports = append(ports, corev1.ContainerPort{
					Name: port.Name, ContainerPort: port.ContainerPort, Protocol: port.Protocol,
				})
			}
		}
		if len(ports) > 0 {
			kept = append(kept, corev1.Container{Ports: ports, RestartPolicy: containers[i].RestartPolicy})
		}
	}
	return kept
}

func podConditionsOf(conditions []corev1.PodCondition, kind corev1.PodConditionType) []corev1.PodCondition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return []corev1.PodCondition{{
				Type:               kind,
				Status:             conditions[i].Status,
				LastTransitionTime: conditions[i].LastTransitionTime,
			}}
		}
	}
	return nil
}

// trimNode keeps a node's name, labels, allocatable CPU and Ready condition: zones and the topology hints of the older
// annotation come from these.
func trimNode(node *corev1.Node) *corev1.Node {
	kept := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Labels: node.Labels,
	}}
	if cpu, ok := node.Status.Allocatable[corev1.ResourceCPU]; ok {
		kept.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: cpu}
	}
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			kept.Status.Conditions = []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: node.Status.Conditions[i].Status,
			}}
		}
	}
	return kept
}
