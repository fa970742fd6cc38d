package source

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestIngressFacts(t *testing.T) {
	got := Ingress(fromYAML[networkingv1.Ingress](t, `
metadata:
  namespace: shop
  name: web
  uid: u1
  generation: 7
  annotations:
    nginx.ingress.kubernetes.io/rewrite-target: /$1
    nginx.ingress.kubernetes.io/app-root: /app
    switchyard.net/balance: ewma
    kubernetes.io/ingress.class: nginx
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  ingressClassName: nginx
  defaultBackend: {resource: {apiGroup: k8s.example.com, kind: Bucket, name: static}}
  tls:
  - {hosts: [a.example.com, b.example.com], secretName: cert}
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /x, pathType: Prefix, backend: {service: {name: x, port: {number: 80}}}}
      - {path: /y, pathType: Exact, backend: {service: {name: w, port: {name: http}}}}
      - {path: /z, pathType: ImplementationSpecific, backend: {service: {name: z, port: {number: 1}}}}
  - host: "*.example.com"
status:
  loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb.example.com}]}
`))
	want := &model.Ingress{
		Ref: model.Ref{Namespace: "shop", Name: "web"}, UID: "u1", Generation: 7, Class: "nginx", ClassAnnotation: "nginx",
		Annotations: model.Annotations{{Name: "app-root", Value: "/app"}, {Name: "rewrite-target", Value: "/$1"}, {Name: "switchyard.net/balance", Value: "ewma"}},
		TLS:         []model.IngressTLS{{Hosts: []string{"a.example.com", "b.example.com"}, Secret: "cert"}},
		Rules: []model.IngressRule{{Host: "a.example.com", Paths: []model.IngressPath{
			{Path: "/x", Type: model.PathPrefix, Backend: model.IngressBackend{Service: "x", Port: 80}},
			{Path: "/y", Type: model.PathExact, Backend: model.IngressBackend{Service: "w", PortName: "http"}},
			{Path: "/z", Backend: model.IngressBackend{Service: "z", Port: 1}},
		}}, {Host: "*.example.com"}},
		Default: &model.IngressBackend{Resource: "Bucket.k8s.example.com/static"},
		Status:  []model.IngressAddress{{Addr: netip.MustParseAddr("192.0.2.1")}, {Hostname: "lb.example.com"}},
	}
	equal(t, want, got)
	if value, ok := got.Annotations.Get("rewrite-target"); !ok || value != "/$1" {
		t.Errorf("rewrite-target is %q, %t", value, ok)
	}
	if _, ok := got.Annotations.Get("ingress.class"); ok {
		t.Error("an annotation that is none of ours is kept")
	}
}

func TestIngressClassFacts(t *testing.T) {
	got := IngressClass(fromYAML[networkingv1.IngressClass](t, `
metadata: {name: nginx, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}
spec: {controller: k8s.io/ingress-nginx, parameters: {apiGroup: k8s.example.com, kind: Parameters, name: p}}
`))
	equal(t, &model.IngressClass{Name: "nginx", Controller: "k8s.io/ingress-nginx", Default: true, Parameters: "Parameters.k8s.example.com/p"}, got)
}

func testIngress(namespace, name, host string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-1"},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: host}}},
	}
}

// TestIngressChanges expects each change under the right name, and a status apart from what it is the status of.
func TestIngressChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		api.put(testIngress("default", "a", "a.example.com"))
		api.put(testIngress("other", "b", "b.example.com"))
		src, _ := start(t, client, Config{Kinds: []Kind{Ingresses, IngressClasses}, Namespace: "default"})
		sub := src.Subscribe()
		next := func() (*model.Snapshot, model.Changes) {
			t.Helper()
			synctest.Wait()
			snap, changes := sub.take()
			if snap == nil {
				t.Fatal("nothing new")
			}
			return snap, changes
		}
		snap, _ := next()
		if names := slices.Collect(maps.Keys(maps.Collect(snap.Ingresses.All()))); len(names) != 1 || names[0].Name != "a" {
			t.Fatalf("Ingresses of namespace default: %v", names)
		}
		ref := model.Ref{Namespace: "default", Name: "a"}
		only := map[model.Ref]struct{}{ref: {}}
		balanced := testIngress("default", "a", "a.example.com")
		balanced.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
		api.put(balanced)
		_, changes := next()
		equal(t, model.Changes{IngressStatuses: only}, changes)
		moved := balanced.DeepCopy()
		moved.Spec.Rules[0].Host = "c.example.com"
		api.put(moved)
		_, changes = next()
		equal(t, model.Changes{Ingresses: only}, changes)
		api.put(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}})
		_, changes = next()
		equal(t, model.Changes{IngressClasses: true}, changes)
		api.remove(Ingresses, ref)
		snap, changes = next()
		equal(t, model.Changes{Ingresses: only, IngressStatuses: only}, changes)
		if snap.Ingresses.Len() != 0 {
			t.Error("a deleted Ingress is still there")
		}
	})
}

func testSecret(name, value string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{"k": []byte(value)}}
}

// seen returns what the present snapshot has of Secrets: a value, or why there is none.
func seen(src *Source) map[string]string {
	src.state.mu.Lock()
	defer src.state.mu.Unlock()
	out := map[string]string{}
	for ref, s := range src.state.snap.Secrets.All() {
		out[ref.Name] = string(s.Data["k"])
		if s.Problem != "" {
			out[ref.Name] = "problem"
		}
	}
	return out
}

func secretRef(name string) model.Ref { return model.Ref{Namespace: "shop", Name: name} }

// TestSecretsByName wants more Secrets than may be watched, changes them all, and drops some.
func TestSecretsByName(t *testing.T) {
	forEachEncoding(t, func(t *testing.T, contentType string) {
		api, _, client := serve(t, contentType)
		api.forbidden = map[string]bool{"s-8": true}
		want := map[string]string{}
		for i := range 10 {
			name := fmt.Sprintf("s-%d", i)
			api.put(testSecret(name, "1"))
			want[name] = "1"
		}
		api.remove(Secrets, secretRef("s-9"))
		api.remove(Secrets, secretRef("s-0"))
		want["s-8"], want["s-9"], want["s-0"] = "problem", "problem", "problem"
		api.put(testSecret("not-wanted", "1"))
		src, _ := start(t, client, Config{Kinds: []Kind{Services}, NamedWatches: 4})
		sub := src.Subscribe()
		check := func(about string) {
			t.Helper()
			time.Sleep(time.Minute)
			if diff := cmp.Diff(want, seen(src)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", about, diff)
			}
		}
		for i := range 10 {
			src.Want(Secrets, secretRef(fmt.Sprintf("s-%d", i)))
		}
		check("read for the first time")
		if _, changes := sub.take(); !changes.All {
			t.Errorf("first changes: %+v", changes)
		}
		for i := range 8 {
			name := fmt.Sprintf("s-%d", i)
			api.put(testSecret(name, "2"))
			want[name] = "2"
		}
		check("changed, and made")
		if _, changes := sub.take(); len(changes.Secrets) != 8 {
			t.Errorf("changes: %+v", changes)
		}
		for i := range 6 { // those with a watch among them: others get it
			name := fmt.Sprintf("s-%d", i)
			src.Drop(Secrets, secretRef(name))
			delete(want, name)
		}
		api.remove(Secrets, secretRef("s-6"))
		want["s-6"] = "problem"
		api.put(testSecret("s-7", "3"))
		want["s-7"] = "3"
		check("dropped")
		if n := src.named[Secrets]; n.watched != 3 {
			t.Errorf("%d watches are open, want one for each of the 3 that may be read", n.watched)
		}
		if api.nameless > 0 {
			t.Errorf("%d requests were for Secrets without a name", api.nameless)
		}
	})
}

// TestSecretsAfterAnOutage expects watched and polled ones to be right again.
func TestSecretsAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, net, client := serve(t, runtime.ContentTypeProtobuf)
		api.put(testSecret("a", "1"))
		src, _ := start(t, client, Config{Kinds: []Kind{Services}, NamedWatches: 1})
		src.Want(Secrets, secretRef("a"))
		synctest.Wait()
		net.set(true, false)
		src.Want(Secrets, secretRef("b"))
		time.Sleep(10 * time.Minute)
		if diff := cmp.Diff(map[string]string{"a": "1"}, seen(src)); diff != "" {
			t.Errorf("during the outage (-want +got):\n%s", diff)
		}
		api.compact()
		api.put(testSecret("a", "2"))
		api.put(testSecret("b", "1"))
		net.set(false, false)
		time.Sleep(time.Minute)
		if diff := cmp.Diff(map[string]string{"a": "2", "b": "1"}, seen(src)); diff != "" {
			t.Errorf("after the outage (-want +got):\n%s", diff)
		}
	})
}

func TestConfigMapsByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		ref := model.Ref{Namespace: "ingress", Name: "settings"}
		src, _ := start(t, client, Config{Kinds: []Kind{Services}})
		src.Want(ConfigMaps, ref)
		synctest.Wait()
		sub := src.Subscribe()
		if snap, _ := sub.take(); snap == nil {
			t.Fatal("no snapshot")
		} else if c, ok := snap.ConfigMaps.Get(ref); !ok || c.Problem == "" {
			t.Errorf("a ConfigMap that does not exist is %+v, %t", c, ok)
		}
		api.put(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ingress", Name: "settings"}, Data: map[string]string{"hsts": "false"}})
		synctest.Wait()
		snap, changes := sub.take()
		equal(t, model.Changes{ConfigMaps: map[model.Ref]struct{}{ref: {}}}, changes)
		c, _ := snap.ConfigMaps.Get(ref)
		equal(t, &model.ConfigMap{Ref: ref, Data: map[string]string{"hsts": "false"}}, c)
	})
}
