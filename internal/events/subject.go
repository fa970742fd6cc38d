package events

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Subject is an object that Events are about. Kind is "Ingress", or a kind of the core API group.
type Subject struct {
	Kind string
	Ref  model.Ref
	UID  string
}

func (s Subject) reference() corev1.ObjectReference {
	version := "v1"
	if s.Kind == "Ingress" {
		version = "networking.k8s.io/v1"
	}
	return corev1.ObjectReference{APIVersion: version, Kind: s.Kind, Namespace: s.Ref.Namespace, Name: s.Ref.Name, UID: types.UID(s.UID)}
}

// Warning records that something of an object is not honoured.
func (r *Recorder) Warning(s Subject, reason, message string) {
	r.add(event{corev1.EventTypeWarning, s.reference(), reason, message})
}

// Normal records what has become of an object.
func (r *Recorder) Normal(s Subject, reason, message string) {
	r.add(event{corev1.EventTypeNormal, s.reference(), reason, message})
}
