package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// backends are two Services with two pods each, which leave as servers behind an entry should.
const backends = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: main
        image: switchyard/echo
        args: ["--drain=2s"]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
`

// routes are the Ingresses of the test.
const routes = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: front, port: {name: http}}}}
  - host: cart.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: cart, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /$2}}
spec:
  ingressClassName: nginx
  rules:
  - host: paths.test
    http:
      paths:
      - {path: /cart(/|$)(.*), pathType: ImplementationSpecific, backend: {service: {name: cart, port: {number: 80}}}}
      - {path: /()(.*), pathType: ImplementationSpecific, backend: {service: {name: front, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: secure}
spec:
  ingressClassName: nginx
  tls: [{hosts: [secure.test], secretName: secure}]
  rules:
  - host: secure.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: grpc, annotations: {nginx.ingress.kubernetes.io/backend-protocol: GRPC}}
spec:
  ingressClassName: nginx
  tls: [{hosts: [grpc.test], secretName: secure}]
  rules:
  - host: grpc.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
`

// startEntry runs examples/ingress/entry.yaml on the shared cluster until the test ends.
func startEntry(t *testing.T) {
	t.Helper()
	manifest, err := filepath.Abs("../../examples/ingress/entry.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shared.must(t, "kubectl", "apply", "-f", manifest)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", shared.run(context.Background(), "", "kubectl", "-n", "ingress", "logs", "-l", "app=entry", "--tail", "60"))
		}
		if r := shared.run(context.Background(), "", "kubectl", "delete", "--wait=false", "-f", manifest); r.code != 0 {
			t.Errorf("%s", r)
		}
	})
	shared.kubectl(t, "ingress", "rollout", "status", "deployment/entry", "--timeout", patience.String())
}

// TestIngress has an entry serve some Ingresses to a client outside of the cluster, by the entry's node ports.
func TestIngress(t *testing.T) {
	startEntry(t)
	ns := shared.namespace(t)
	cert, key, roots := certificate(t, "secure.test", "grpc.test")
	if _, err := shared.client(t).CoreV1().Secrets(ns).Create(t.Context(), tlsSecret(cert, key), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.apply(t, ns, strings.ReplaceAll(backends, "NAME", "front")+strings.ReplaceAll(backends, "NAME", "cart")+routes)
	for _, name := range []string{"front", "cart"} {
		shared.kubectl(t, ns, "rollout", "status", "deployment/"+name, "--timeout", patience.String())
	}
	v := newVisitor(t, shared, roots)
	t.Run("hosts and paths", func(t *testing.T) { checkRoutes(t, v) })
	t.Run("TLS", func(t *testing.T) { checkTLS(t, v) })
	t.Run("WebSocket", func(t *testing.T) { checkWebSocket(t, v) })
	t.Run("gRPC", func(t *testing.T) { checkGRPC(t, v) })
	lasting := openWebSocket(t, v, "ws://cart.test/ws")
	answersWebSocket(t, lasting, "cart-", "before")
	t.Run("status and Events", func(t *testing.T) { checkStatus(t, ns) })
	t.Run("a bad Ingress", func(t *testing.T) { checkBadIngress(t, v, ns) })
	t.Run("a new certificate", func(t *testing.T) { checkNewCertificate(t, v, ns) })
	t.Run("no change cuts a WebSocket", func(t *testing.T) { answersWebSocket(t, lasting, "cart-", "after") })
	_ = lasting.Close() // an entry that ends would wait for it
	t.Run("routes and why", func(t *testing.T) { checkExplanation(t, ns) })
	t.Run("rolling updates", func(t *testing.T) { checkRollingUpdates(t, v, ns) })
}

func checkRoutes(t *testing.T, v visitor) {
	for _, node := range []string{"172.30.0.11", "172.30.0.12"} {
		v.node = netip.MustParseAddr(node)
		client := v.client(t)
		for url, pod := range map[string]string{
			"http://shop.test/pod": "front-", "http://cart.test/pod": "cart-",
			"http://paths.test/pod": "front-", "http://paths.test/cart/pod": "cart-",
		} {
			eventually(t, url, func() error { return answeredWith(client, url, http.StatusOK, pod) })
		}
	}
	if err := answeredWith(v.client(t), "http://nobody.test/", http.StatusNotFound, ""); err != nil {
		t.Error(err)
	}
}

func checkTLS(t *testing.T, v visitor) {
	client := v.client(t)
	eventually(t, "TLS by the Secret", func() error { return answeredWith(client, "https://secure.test/pod", http.StatusOK, "front-") })
	got, err := ask(client, "https://secure.test/pod")
	if err != nil || got.proto != "HTTP/2.0" {
		t.Errorf("over %s, %v; want HTTP/2.0", got.proto, err)
	}
	got, err = ask(client, "http://secure.test/a?b")
	if err != nil || got.status != http.StatusPermanentRedirect || got.location != "https://secure.test/a?b" {
		t.Errorf("plain HTTP is answered %d to %q, %v; want 308 to https", got.status, got.location, err)
	}
	if _, err := ask(client, "https://shop.test/"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a host without a certificate: %v; want the default certificate, which nobody trusts", err)
	}
}

func checkWebSocket(t *testing.T, v visitor) {
	for _, url := range []string{"ws://shop.test/ws", "wss://secure.test/ws"} {
		conn := openWebSocket(t, v, url)
		for i := range 3 {
			answersWebSocket(t, conn, "front-", fmt.Sprintf("hello %d", i))
		}
	}
}

func openWebSocket(t *testing.T, v visitor, url string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: v.dial, TLSClientConfig: &tls.Config{RootCAs: v.roots}, HandshakeTimeout: 10 * time.Second}
	conn, _, err := dialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answersWebSocket sends a text, and expects it back from a pod whose name begins like that.
func answersWebSocket(t *testing.T, conn *websocket.Conn, pod, text string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, got, err := conn.ReadMessage()
	if err != nil || !strings.HasPrefix(string(got), pod) || !strings.HasSuffix(string(got), text) {
		t.Errorf("%q comes back as %q, %v", text, got, err)
	}
}

func tlsSecret(cert, key string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "secure"}, Type: corev1.SecretTypeTLS, StringData: map[string]string{"tls.crt": cert, "tls.key": key},
	}
}

// checkNewCertificate replaces the certificate in the Secret.
func checkNewCertificate(t *testing.T, v visitor, ns string) {
	cert, key, roots := certificate(t, "secure.test", "grpc.test")
	if _, err := shared.client(t).CoreV1().Secrets(ns).Update(t.Context(), tlsSecret(cert, key), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	v.roots = roots
	eventually(t, "the new certificate", func() error {
		return answeredWith(v.client(t), "https://secure.test/pod", http.StatusOK, "front-")
	})
}

func checkGRPC(t *testing.T, v visitor) {
	conn, err := grpc.NewClient("passthrough:///grpc.test:443",
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return v.dial(ctx, "tcp", address) }),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: v.roots, ServerName: "grpc.test"})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	eventually(t, "a gRPC health check", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err == nil && answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			err = fmt.Errorf("status %s", answer.Status)
		}
		return err
	})
}

// checkStatus expects the addresses of the entry's nodes in the status, and what became of the Ingress in an Event.
func checkStatus(t *testing.T, ns string) {
	eventually(t, "addresses in the status", func() error {
		ingress, err := shared.client(t).NetworkingV1().Ingresses(ns).Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var got []string
		for _, a := range ingress.Status.LoadBalancer.Ingress {
			got = append(got, a.IP)
		}
		if !slices.Contains(got, "172.30.0.11") && !slices.Contains(got, "172.30.0.12") {
			return fmt.Errorf("addresses %q", got)
		}
		return nil
	})
	eventually(t, "the Event that it is in force", func() error { return described(ns, "shop", "InForce") })
}

// described returns an error unless kubectl describe has a text about an Ingress.
func described(ns, name, text string) error {
	r := shared.run(context.Background(), "", "kubectl", "-n", ns, "describe", "ingress", name)
	if r.code != 0 || !strings.Contains(r.stdout, text) {
		return fmt.Errorf("no %q in %s", text, r)
	}
	return nil
}

// checkBadIngress adds one that cannot be served and one that loses to an older one, and expects nothing to change but their Events.
func checkBadIngress(t *testing.T, v visitor, ns string) {
	const bad = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: bad, annotations: {nginx.ingress.kubernetes.io/limit-rps: many}}
spec:
  ingressClassName: nginx
  rules:
  - host: bad.test
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: late}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.test
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}]
`
	// Which of two is older is told by seconds.
	first, err := shared.client(t).NetworkingV1().Ingresses(ns).Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a second has passed", func() error {
		if time.Since(first.CreationTimestamp.Time) < 2*time.Second {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	shared.apply(t, ns, bad)
	eventually(t, "an Event on the bad Ingress", func() error { return described(ns, "bad", "limit-rps") })
	eventually(t, "an Event on the one that lost", func() error { return described(ns, "late", ns+"/shop") })
	client := v.client(t)
	for url, pod := range map[string]string{"http://shop.test/pod": "front-", "http://paths.test/cart/pod": "cart-"} {
		if err := answeredWith(client, url, http.StatusOK, pod); err != nil {
			t.Error(err)
		}
	}
	got, err := ask(client, "http://bad.test/pod")
	if err != nil || got.status == http.StatusOK {
		t.Errorf("the bad Ingress is answered %d %q, %v", got.status, got.body, err)
	}
}

// checkExplanation runs `switchyard ingress routes` in the entry's pod.
func checkExplanation(t *testing.T, ns string) {
	program, err := filepath.Abs("../../bin/switchyard")
	if err != nil {
		t.Fatal(err)
	}
	routes := func(args ...string) string {
		return shared.kubectl(t, "ingress", append([]string{"exec", "deploy/entry", "--", program, "ingress", "routes"}, args...)...)
	}
	if got := routes(); !strings.Contains(got, "paths.test") || !strings.Contains(got, ns+"/cart:80") {
		t.Errorf("routes:\n%s", got)
	}
	want := "one of 2 endpoints of Service " + ns + "/cart:80"
	if got := routes("--explain", "http://paths.test/cart/x"); !strings.Contains(got, want) || !strings.Contains(got, "the backend is asked for /x") {
		t.Errorf("no %q in:\n%s", want, got)
	}
}

// checkRollingUpdates replaces the pods of a backend, then those of the entry, under load.
func checkRollingUpdates(t *testing.T, v visitor, ns string) {
	for _, update := range []struct{ namespace, deployment string }{{ns, "front"}, {"ingress", "entry"}} {
		t.Run(update.deployment, func(t *testing.T) {
			load := startLoad(t.Context(), v.client(t), "http://shop.test/pod", 4)
			shared.kubectl(t, update.namespace, "rollout", "restart", "deployment/"+update.deployment)
			shared.kubectl(t, update.namespace, "rollout", "status", "deployment/"+update.deployment, "--timeout", patience.String())
			eventually(t, "the old pods are gone", func() error {
				list, err := shared.client(t).CoreV1().Pods(update.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + update.deployment})
				if err == nil && len(list.Items) != 2 {
					err = fmt.Errorf("%d pods", len(list.Items))
				}
				return err
			})
			made, pods, err := load.end()
			if err != nil {
				t.Errorf("of %d requests some failed: %v", made, err)
			}
			if update.deployment == "front" && len(pods) < 3 {
				t.Errorf("answers of %v; want some of old and of new pods", pods)
			}
			t.Logf("%d requests, answered by %v", made, pods)
		})
	}
}
