package endpoints

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// testCluster is client-go's fake API with what the controllers rely on beyond it: generated names, UIDs, resource
// versions and the generation of EndpointSlices. It runs the controllers in a bubble of testing/synctest.
type testCluster struct {
	*fake.Clientset
	t    *testing.T
	mu   sync.Mutex
	last int // counts UIDs, names and versions; guarded by mu
}

func newTestCluster(t *testing.T, objects ...runtime.Object) *testCluster {
	t.Helper()
	c := &testCluster{t: t, Clientset: fake.NewClientset()}
	c.PrependReactor("create", "*", c.onCreate)
	c.PrependReactor("update", "*", c.onUpdate)
	for _, object := range objects {
		c.create(object)
	}
	return c
}

func (c *testCluster) next() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return strconv.Itoa(c.last)
}

func (c *testCluster) onCreate(action clienttesting.Action) (bool, runtime.Object, error) {
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

func (c *testCluster) onUpdate(action clienttesting.Action) (bool, runtime.Object, error) {
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

// create adds the object, update replaces it, as a user would.
func (c *testCluster) create(object runtime.Object) {
	c.t.Helper()
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
		c.t.Fatalf("create %T: %v", object, err)
	}
}

func (c *testCluster) updatePod(name string, change func(*corev1.Pod)) {
	c.t.Helper()
	pod, err := c.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	change(pod)
	if _, err := c.CoreV1().Pods("default").Update(context.Background(), pod, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) updateService(name string, change func(*corev1.Service)) {
	c.t.Helper()
	service, err := c.CoreV1().Services("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	change(service)
	if _, err := c.CoreV1().Services("default").Update(context.Background(), service, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) endpoints(name string) *corev1.Endpoints {
	c.t.Helper()
	endpoints, err := c.CoreV1().Endpoints("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return endpoints
}

// slices returns the Service's slices that the named controller manages.
func (c *testCluster) slices(service, managedBy string) []discoveryv1.EndpointSlice {
	c.t.Helper()
	list, err := c.DiscoveryV1().EndpointSlices("default").List(context.Background(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service + "," + discoveryv1.LabelManagedBy + "=" + managedBy,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return list.Items
}

// writes returns "verb resource" of every change made since the last call, Events apart.
func (c *testCluster) writes() []string {
	var writes []string
	for _, action := range c.Actions() {
		resource := action.GetResource().Resource
		if verb := action.GetVerb(); (verb == "create" || verb == "update" || verb == "delete") && resource != "events" {
			writes = append(writes, verb+" "+resource)
		}
	}
	c.ClearActions()
	return writes
}

// run starts the controllers in a bubble, lets them settle, and runs the test, which calls settle after each change.
func run(t *testing.T, cfg Config, objects []runtime.Object, test func(c *testCluster, controllers *Controllers, settle func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, objects...)
		controllers, err := New(cfg, Deps{Client: c, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- controllers.Run(ctx) }()
		// Bubble time: long enough for the 1 s that changes of slices wait, and for retries.
		settle := func() { time.Sleep(30 * time.Second); synctest.Wait() }
		settle()
		c.ClearActions()
		test(c, controllers, settle)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// now is the time of creation and of readiness of the tests' objects.
func now() metav1.Time { return metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) }

func testNode(name, zone string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
}

// testPod returns a ready pod on node-1 with label app=web.
func testPod(name, ip string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID("pod-" + name), Labels: map[string]string{"app": "web"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1",
			Containers: []corev1.Container{{
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
			}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now()}},
		},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func setReady(ready bool) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Conditions[0].Status = corev1.ConditionFalse
		if ready {
			pod.Status.Conditions[0].Status = corev1.ConditionTrue
		}
	}
}

// testService returns a Service that chooses app=web, port 80 to the named port http.
func testService(name string, change ...func(*corev1.Service)) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: now()},
		Spec: corev1.ServiceSpec{
			Selector:   map[string]string{"app": "web"},
			ClusterIP:  "10.96.0.1",
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{{
				Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
	for _, c := range change {
		c(service)
	}
	return service
}
