package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/switchyard-net/switchyard/internal/config"
)

func TestIngressRefusals(t *testing.T) {
	for args, want := range map[string]string{
		"--engine=apache":                     "want native or nginx",
		"--http-port=80 --https-port=80":      "--https-port=80 is the port of --http-port",
		"--configmap=settings":                "want namespace/name",
		"--disable-catch-all=true":            "only false is possible here",
		"--shutdown-grace-period=soon":        "shutdown-grace-period",
		"--no-such-flag":                      "unknown flag",
		"--kubeconfig=/nonexistent":           "/nonexistent",
		"routes -o table":                     "want json, yaml or wide",
		"routes --host a --explain http://a/": "exclude each other",
	} {
		var stderr bytes.Buffer
		code := Main(append([]string{"ingress"}, strings.Fields(args)...), io.Discard, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("ingress %s: exit code %d, %q; want %d with %q", args, code, stderr.String(), exitUsage, want)
		}
	}
}

// TestIngressTakesTheFlagsOfIngressNginx parses the arguments of the manifests that ingress-nginx ships.
func TestIngressTakesTheFlagsOfIngressNginx(t *testing.T) {
	command, _, err := newRootCommand().Find([]string{"ingress"})
	if err != nil {
		t.Fatal(err)
	}
	err = command.ParseFlags(strings.Fields(`--publish-service=ingress-nginx/ingress-nginx-controller --election-id=ingress-nginx-leader
		--controller-class=k8s.io/ingress-nginx --ingress-class=nginx --configmap=ingress-nginx/ingress-nginx-controller
		--validating-webhook=:8443 --validating-webhook-certificate=/usr/local/certificates/cert --validating-webhook-key=/usr/local/certificates/key
		--watch-ingress-without-class=true --enable-metrics=false --v=2 --shutdown-grace-period=30 --disable-leader-election=true
		--tcp-services-configmap=default/tcp --default-ssl-certificate=default/cert --enable-ssl-passthrough --metrics-per-host=false`))
	if err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"shutdown-grace-period": "30s", "disable-leader-election": "true", "controller-class": "k8s.io/ingress-nginx"} {
		if got := command.Flag(name).Value.String(); got != want {
			t.Errorf("--%s is %s, want %s", name, got, want)
		}
	}
}

// entryAPI is an API server that has one Ingress to a backend on loopback, and to which nothing ever happens.
type entryAPI struct {
	lists map[string]any
	mu    sync.Mutex
	wrote []string // guarded by mu: what was written
}

func newEntryAPI(backend netip.AddrPort) *entryAPI {
	name, port, protocol, prefix, class := "http", int32(backend.Port()), corev1.ProtocolTCP, networkingv1.PathTypePrefix, "nginx"
	to := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	rule := networkingv1.IngressRule{Host: "shop.test"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: to}}}
	return &entryAPI{lists: map[string]any{
		"ingressclasses": &networkingv1.IngressClassList{Items: []networkingv1.IngressClass{{
			ObjectMeta: metav1.ObjectMeta{Name: class}, Spec: networkingv1.IngressClassSpec{Controller: "k8s.io/ingress-nginx"},
		}}},
		"ingresses": &networkingv1.IngressList{Items: []networkingv1.Ingress{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"},
			Spec:       networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{rule}},
		}}},
		"services": &corev1.ServiceList{Items: []corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.80", Ports: []corev1.ServicePort{{Name: name, Port: 80, Protocol: protocol}}},
		}}},
		"endpointslices": &discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{backend.Addr().String()}}},
		}}},
	}}
}

func (a *entryAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.wrote = append(a.wrote, r.Method+" "+r.URL.Path+" "+string(body))
		a.mu.Unlock()
		_, _ = io.WriteString(w, `{"kind":"Event","apiVersion":"v1"}`)
		return
	}
	list, ok := a.lists[path.Base(r.URL.Path)]
	switch query := r.URL.Query(); {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case query.Get("sendInitialEvents") == "true":
		w.WriteHeader(http.StatusBadRequest) // as API servers before 1.27
	case query.Get("watch") != "":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		list.(metav1.ListInterface).SetResourceVersion("1")
		_ = json.NewEncoder(w).Encode(list)
	}
}

// written returns an error unless something was written that has all of these texts.
func (a *entryAPI) written(texts ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, line := range a.wrote {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			return nil
		}
	}
	return fmt.Errorf("nothing with %q in %q", texts, a.wrote)
}

// runningEntry is a `switchyard ingress` with all its parts, on loopback.
type runningEntry struct {
	api          *entryAPI
	http, health int
	socket       string
	stop         context.CancelFunc
	ended        chan error
}

func startIngress(t *testing.T, engine string) *runningEntry {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir()) // of nginx
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "backend "+r.URL.Path) }))
	t.Cleanup(backend.Close)
	e := &runningEntry{api: newEntryAPI(netip.MustParseAddrPort(backend.Listener.Addr().String())), ended: make(chan error, 1)}
	apiServer := httptest.NewServer(e.api)
	t.Cleanup(func() { apiServer.CloseClientConnections(); apiServer.Close() })
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(api.Config{
		Clusters: map[string]*api.Cluster{"c": {Server: apiServer.URL}}, Contexts: map[string]*api.Context{"c": {Cluster: "c"}}, CurrentContext: "c",
	}, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c := config.DefaultIngress()
	c.Engine = engine
	c.Listen = config.IngressListen{HTTP: freePort(t), Addresses: []string{"127.0.0.1"}, Loops: 1}
	c.Health = config.IngressHealth{Host: "127.0.0.1", Port: freePort(t), Socket: filepath.Join(t.TempDir(), "admin.sock")}
	c.Status.Addresses, c.Election.Enabled = []string{"192.0.2.80"}, false
	e.http, e.health, e.socket = c.Listen.HTTP, c.Health.Port, c.Health.Socket
	ctx, cancel := context.WithCancel(t.Context())
	e.stop = cancel
	o := ingressOptions{kubeconfig: kubeconfig, config: c, access: io.Discard}
	go func() { e.ended <- o.run(ctx, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(cancel)
	return e
}

// freePort returns a port of loopback that nobody listens on at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (e *runningEntry) get(port int, host, path string) (int, string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+path, nil)
	if err != nil {
		return 0, "", err
	}
	request.Host, request.Close = host, true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func within(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestIngressServes runs the whole process with either engine: from the API server to a backend, and to the end.
func TestIngressServes(t *testing.T) {
	for _, engine := range []string{config.EngineNative, config.EngineNginx} {
		t.Run(engine, func(t *testing.T) { serveAndAsk(t, startIngress(t, engine), engine) })
	}
}

func serveAndAsk(t *testing.T, e *runningEntry, engine string) {
	within(t, "ready", func() error {
		status, body, err := e.get(e.health, "", "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
	if status, body, err := e.get(e.http, "shop.test", "/cart"); err != nil || status != http.StatusOK || body != "backend /cart" {
		t.Errorf("the route is answered %d %q, %v", status, body, err)
	}
	if status, _, err := e.get(e.http, "other.test", "/"); err != nil || status != http.StatusNotFound {
		t.Errorf("another host is answered %d, %v", status, err)
	}
	metrics := []string{"switchyard_ingress_ingresses 1", "nginx_ingress_controller_success 1"}
	if engine == config.EngineNative {
		metrics = append(metrics, "nginx_ingress_controller_requests")
	}
	for _, metric := range metrics {
		if _, body, err := e.get(e.health, "", "/metrics"); err != nil || !strings.Contains(body, metric) {
			t.Errorf("no %s in the metrics, %v", metric, err)
		}
	}
	for args, want := range map[string]string{
		"":                                "shop.test",
		"-o json":                         `"backend":"shop/web:80"`,
		"-o yaml":                         "backend: shop/web:80",
		"-o wide":                         "APPLIES",
		"--host x":                        "*",
		"--explain http://shop.test/cart": "one of 1 endpoint of Service shop/web:80",
	} {
		var stdout, stderr bytes.Buffer
		code := Main(append([]string{"ingress", "routes", "--admin-socket", e.socket}, strings.Fields(args)...), &stdout, &stderr)
		if code != exitOK || !strings.Contains(stdout.String(), want) {
			t.Errorf("routes %s: exit code %d, %s%s; want %q", args, code, stdout.String(), stderr.String(), want)
		}
	}
	within(t, "an Event", func() error { return e.api.written("POST /api/v1/namespaces/shop/events", "InForce") })
	within(t, "a status", func() error {
		return e.api.written("PATCH /apis/networking.k8s.io/v1/namespaces/shop/ingresses/web/status", "192.0.2.80")
	})
	e.stop()
	if err := <-e.ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(e.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is still there: %v", err)
	}
}

func TestRoutesWithoutAnEntry(t *testing.T) {
	var stderr bytes.Buffer
	code := Main([]string{"ingress", "routes", "--admin-socket", filepath.Join(t.TempDir(), "none")}, io.Discard, &stderr)
	if code != exitFailure || !strings.Contains(stderr.String(), "kubectl exec") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}
