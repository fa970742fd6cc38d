// Package events writes Kubernetes Events, so that users find what is wrong with their objects where they look first:
// in `kubectl describe`.
package events

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/switchyard-net/switchyard/internal/model"
)

// component is who Events say they are from.
const component = "switchyard"

// queueSize is how many Events may wait for the API server; more than that are dropped, with a line in the log.
const queueSize = 1000

// Config says for which node a Recorder speaks.
type Config struct {
	// NodeName is the node that NodeWarning is about, and that all Events name as their origin.
	NodeName string
}

// Deps are what a Recorder uses.
type Deps struct {
	Client kubernetes.Interface
	Log    *slog.Logger
}

// Recorder writes Events. Its methods never wait for the API server, and may be called before Run. The API server gets
// equal Events as one with a count, and about one object no more than 25 at once and then one in 5 minutes
// (the defaults of k8s.io/client-go/tools/record); whoever calls decides what is worth an Event.
type Recorder struct {
	cfg   Config
	deps  Deps
	queue chan event
}

type event struct {
	kind            string // of corev1.EventType…
	object          corev1.ObjectReference
	reason, message string
}

// New returns a Recorder that writes nothing until Run.
func New(cfg Config, deps Deps) *Recorder {
	return &Recorder{cfg: cfg, deps: deps, queue: make(chan event, queueSize)}
}

// ServiceWarning records a Warning on a Service.
func (r *Recorder) ServiceWarning(s *model.Service, reason, message string) {
	r.add(event{corev1.EventTypeWarning, reference(s), reason, message})
}

// ServiceNormal records on a Service that something is well again.
func (r *Recorder) ServiceNormal(s *model.Service, reason, message string) {
	r.add(event{corev1.EventTypeNormal, reference(s), reason, message})
}

// ConfigMapEvent records on a ConfigMap what has become of it; kind is one of corev1.EventType….
func (r *Recorder) ConfigMapEvent(c *corev1.ConfigMap, kind, reason, message string) {
	r.add(event{kind, corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: c.Namespace, Name: c.Name, UID: c.UID}, reason, message})
}

func reference(s *model.Service) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Service", Namespace: s.Ref.Namespace, Name: s.Ref.Name, UID: types.UID(s.UID)}
}

// NodeWarning records a Warning on this node. As with the kubelet and kube-proxy, the UID that it names is the node's
// name, which is what `kubectl describe node` looks for.
func (r *Recorder) NodeWarning(reason, message string) {
	r.add(event{corev1.EventTypeWarning, corev1.ObjectReference{
		APIVersion: "v1", Kind: "Node", Name: r.cfg.NodeName, UID: types.UID(r.cfg.NodeName),
	}, reason, message})
}

func (r *Recorder) add(e event) {
	select {
	case r.queue <- e:
	default:
		r.deps.Log.Warn("an Event is dropped, too many wait for the API server",
			"object", fmt.Sprintf("%s %s/%s", e.object.Kind, e.object.Namespace, e.object.Name), "reason", e.reason, "message", e.message)
	}
}

// Run writes what is recorded until ctx is done, and returns nil then. An Event that the API server refuses, or does
// not take in a dozen attempts, is lost; it is in the log in any case.
func (r *Recorder) Run(ctx context.Context) error {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: r.deps.Client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component, Host: r.cfg.NodeName})
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			recorder.Event(&e.object, e.kind, e.reason, shortened(e.message))
		}
	}
}

// maxMessage is the longest message that the API server accepts, in bytes
// (k8s.io/kubernetes/pkg/apis/core/validation/events.go).
const maxMessage = 1024

// shortened returns message, cut to what the API server accepts.
func shortened(message string) string {
	const end = " …"
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage - len(end)
	for cut > 0 && message[cut]&0xC0 == 0x80 { // not inside a UTF-8 sequence
		cut--
	}
	return message[:cut] + end
}
