// Package endpointstest is the test double of a cluster for controllers of endpoints.
package endpointstest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// Cluster is client-go's fake API with what endpoints controllers rely on beyond it: generated names, UIDs, resource
// versions, and the generation of EndpointSlices.
type Cluster struct {
	*fake.Clientset
	mu   sync.Mutex
	last int // counts UIDs, names and versions; guarded by mu
}

// NewCluster returns an empty cluster.
func NewCluster() *Cluster {
	c := &Cluster{Clientset: fake.NewClientset()}
	c.PrependReactor("create", "*", c.onCreate)
	c.PrependReactor("update", "*", c.onUpdate)
	return c
}

func (c *Cluster) next() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return strconv.Itoa(c.last)
}

func (c *Cluster) onCreate(action clienttesting.Action) (bool, runtime.Object, error) {
	object, err := meta.Accessor(action.(clienttesting.CreateAction).GetObject())
	if err != nil {
		return true, nil, err
	}
	number := c.next()
	if object.GetName() == "" {
		object.SetName(object.GetGenerateName() + number)
	}
	if object.GetUID() == "" {
		object.SetUID(types.UID("uid-" + number))
	}
	object.SetResourceVersion(number)
	object.SetGeneration(1)
	return false, nil, nil
}

func (c *Cluster) onUpdate(action clienttesting.Action) (bool, runtime.Object, error) {
	update := action.(clienttesting.UpdateAction)
	object, err := meta.Accessor(update.GetObject())
	if err != nil {
		return true, nil, err
	}
	object.SetResourceVersion(c.next())
	old, err := c.Tracker().Get(update.GetResource(), update.GetNamespace(), object.GetName())
	if err != nil {
		return true, nil, err
	}
	before, err := meta.Accessor(old)
	if err != nil {
		return true, nil, err
	}
	object.SetUID(before.GetUID())
	object.SetGeneration(before.GetGeneration())
	if now, ok := update.GetObject().(*discoveryv1.EndpointSlice); ok {
		was := old.(*discoveryv1.EndpointSlice)
		if !apiequality.Semantic.DeepEqual(was.Endpoints, now.Endpoints) {
			object.SetGeneration(before.GetGeneration() + 1)
		}
	}
	return false, nil, nil
}

// Create adds a copy of the object, as a user would; a kind that endpoints have nothing to do with fails the test.
func (c *Cluster) Create(t testing.TB, object runtime.Object) {
	t.Helper()
	var err error
	ctx, create := context.Background(), metav1.CreateOptions{}
	switch o := object.DeepCopyObject().(type) {
	case *corev1.Pod:
		_, err = c.CoreV1().Pods(o.Namespace).Create(ctx, o, create)
	case *corev1.Service:
		_, err = c.CoreV1().Services(o.Namespace).Create(ctx, o, create)
	case *corev1.Node:
		_, err = c.CoreV1().Nodes().Create(ctx, o, create)
	case *corev1.Endpoints:
		_, err = c.CoreV1().Endpoints(o.Namespace).Create(ctx, o, create)
	case *discoveryv1.EndpointSlice:
		_, err = c.DiscoveryV1().EndpointSlices(o.Namespace).Create(ctx, o, create)
	default:
		err = fmt.Errorf("no way to create a %T", object)
	}
	if err != nil {
		t.Fatalf("create %T: %v", object, err)
	}
}
