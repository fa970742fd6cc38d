package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/switchyard-net/switchyard/internal/model"
)

const ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: %s%s}\nspec: {defaultBackend: {service: {name: s, port: {number: 80}}}}\n"

// TestRead reads a directory: files below it, several documents, lists, JSON, other kinds and documents that are broken.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": fmt.Sprintf(ingress, "one", "") + "---\n# nothing\n---\n" + fmt.Sprintf(ingress, "two", ", namespace: other"),
		"deep/b.yml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIPs: [10.96.0.1], ports: [{port: 80}]}}\n" +
			"- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}\n",
		"c.json": `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "n"}, "stringData": {"auth": "u:p"}}`,
		"d.yaml": "kind: [\n---\n" + strings.Replace(fmt.Sprintf(ingress, "typo", ""), "spec", "specs", 1) + "---\napiVersion: extensions/v1beta1\nkind: Ingress\n",
		"e.txt":  "not: read",
		"f.yaml": "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n---\n" +
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n---\n" +
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, labels: {kubernetes.io/service-name: s}}\naddressType: IPv4\nendpoints: []\nports: []\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[model.Ref]string{
		{Namespace: "default", Name: "one"}: filepath.Join(dir, "a.yaml"),
		{Namespace: "other", Name: "two"}:   filepath.Join(dir, "a.yaml") + ", document 3",
	}
	if diff := cmp.Diff(want, o.Places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	s := &o.Snapshot
	one, _ := s.Ingresses.Get(model.Ref{Namespace: "default", Name: "one"})
	two, _ := s.Ingresses.Get(model.Ref{Namespace: "other", Name: "two"})
	if !one.Created.Before(two.Created) {
		t.Errorf("the first Ingress was created at %v, the second at %v", one.Created, two.Created)
	}
	service, _ := s.Services.Get(model.Ref{Namespace: "default", Name: "s"})
	if p := service.Ports[0]; p.Protocol != model.TCP || p.TargetPort != "80" {
		t.Errorf("port without protocol and targetPort: %+v", p)
	}
	secret, _ := s.Secrets.Get(model.Ref{Namespace: "n", Name: "x"})
	if string(secret.Data["auth"]) != "u:p" {
		t.Errorf("stringData: %q", secret.Data)
	}
	if s.IngressClasses.Len() != 1 || s.ConfigMaps.Len() != 1 || s.Slices.Len() != 1 || o.Skipped != 1 {
		t.Errorf("%d classes, %d ConfigMaps, %d slices, %d skipped", s.IngressClasses.Len(), s.ConfigMaps.Len(), s.Slices.Len(), o.Skipped)
	}
	if len(o.Errors) != 3 || !strings.Contains(o.Errors[1].Error(), `d.yaml, document 2`) || !strings.Contains(o.Errors[2].Error(), "kubectl convert") {
		t.Errorf("errors: %v", o.Errors)
	}
	if _, err := Read(filepath.Join(dir, "none")); err == nil {
		t.Error("a path that does not exist is no error")
	}
}

// FuzzRead: a file may hold anything.
func FuzzRead(f *testing.F) {
	f.Add(fmt.Sprintf(ingress, "one", ""))
	f.Add("kind: List\nitems: [{kind: Service}, 1]")
	f.Add("apiVersion: v1\nkind: Service\nspec: {ports: [{}]}")
	f.Fuzz(func(_ *testing.T, text string) {
		o := &Objects{Places: map[model.Ref]string{}, slices: map[model.Ref][]*model.EndpointSlice{}}
		o.read("x", strings.NewReader(text))
	})
}

func TestFromCluster(t *testing.T) {
	client := fake.NewClientset(
		&networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "i"}},
		&networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "i"}},
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "nginx"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "s"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}, Data: map[string][]byte{"k": []byte("v")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "m"}, Data: map[string]string{"k": "v"}},
	)
	client.PrependReactor("get", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		name := action.(clienttesting.GetAction).GetName()
		return name == "forbidden", nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, name, nil)
	})
	o, err := FromCluster(t.Context(), client, "a")
	if err != nil {
		t.Fatal(err)
	}
	if s := &o.Snapshot; s.Ingresses.Len() != 1 || s.IngressClasses.Len() != 1 || s.Services.Len() != 1 {
		t.Errorf("%d Ingresses, %d classes, %d Services of namespace a", s.Ingresses.Len(), s.IngressClasses.Len(), s.Services.Len())
	}
	in := func(name string) model.Ref { return model.Ref{Namespace: "a", Name: name} }
	if err := o.Fetch(t.Context(), client, []model.Ref{in("x"), in("none"), in("forbidden")}, []model.Ref{in("m"), in("none")}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range []string{"x", "none", "forbidden"} {
		s, _ := o.Snapshot.Secrets.Get(in(name))
		got = append(got, string(s.Data["k"])+s.Problem)
	}
	for _, name := range []string{"m", "none"} {
		m, _ := o.Snapshot.ConfigMaps.Get(in(name))
		got = append(got, m.Data["k"]+m.Problem)
	}
	want := []string{"v", "does not exist", "may not be read by who runs this", "v", "does not exist"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secrets and ConfigMaps (-want +got):\n%s", diff)
	}
}
