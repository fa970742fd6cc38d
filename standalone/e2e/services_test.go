package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// service is a Service of both families, with a node port, for deployment's pods.
const service = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

// requests are enough that each of three endpoints is met: that one is not has a probability of 3·(2/3)^60.
const requests = 60

// ask asks a URL for its pod's name, from a node or the client. Each request is a connection of its own.
func (c *testCluster) ask(t *testing.T, from, url string) (pod string, err error) {
	t.Helper()
	r := c.run(t.Context(), "", "exec", from, "--", "curl", "-sS", "--fail", "--max-time", "5", url+"/pod")
	if r.code != 0 {
		return "", fmt.Errorf("%s", r)
	}
	return strings.TrimSpace(r.stdout), nil
}

// answeredBy asks a URL often, and returns an error unless every request is answered and all of these pods, no others,
// answer. The names are in order.
func (c *testCluster) answeredBy(t *testing.T, from, url string, pods []string) error {
	t.Helper()
	script := fmt.Sprintf("for i in $(seq %d); do curl -sS --fail --max-time 5 %s/pod || exit 1; done", requests, url)
	r := c.run(t.Context(), "", "exec", from, "--", "sh", "-c", script)
	if r.code != 0 {
		return fmt.Errorf("%s", r)
	}
	got := strings.Fields(r.stdout)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, pods) {
		return fmt.Errorf("from %s, %s is answered by %v; want %v", from, url, got, pods)
	}
	return nil
}

// startService applies a deployment of pods labelled app=web, and service, in a namespace, and returns the Service and
// the names of its pods, in order, once node-1 serves them all.
func (c *testCluster) startService(t *testing.T, namespace, deployment string) (*corev1.Service, []string) {
	t.Helper()
	c.apply(t, namespace, deployment)
	c.apply(t, namespace, service)
	c.kubectl(t, namespace, "rollout", "status", "deployment/web", "--timeout", patience.String())
	made := c.service(t, namespace, "web")
	pods := c.podNames(t, namespace)
	eventually(t, "all endpoints", func() error { return c.answeredBy(t, "node-1", "http://"+made.Spec.ClusterIP, pods) })
	return made, pods
}

// service returns a Service that is there.
func (c *testCluster) service(t *testing.T, namespace, name string) *corev1.Service {
	t.Helper()
	found, err := c.client(t).CoreV1().Services(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (c *testCluster) podNames(t *testing.T, namespace string) []string {
	t.Helper()
	list, err := c.client(t).CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return names
}

func TestServiceAnswersOnAllItsAddresses(t *testing.T) {
	ns := shared.namespace(t)
	made, pods := shared.startService(t, ns, deployment)
	urls := map[string][]string{}
	for _, ip := range made.Spec.ClusterIPs {
		host := ip
		if strings.Contains(ip, ":") {
			host = "[" + ip + "]"
		}
		urls["http://"+host] = []string{"node-1", "node-2"}
	}
	port := made.Spec.Ports[0].NodePort
	for _, host := range []string{"172.30.0.11", "172.30.0.12", "[fd00:172:30::11]", "[fd00:172:30::12]"} {
		urls[fmt.Sprintf("http://%s:%d", host, port)] = []string{"client"}
	}
	for url, clients := range urls {
		for _, from := range clients {
			eventually(t, "answers", func() error { return shared.answeredBy(t, from, url, pods) })
		}
	}
	shared.apply(t, ns, once("inside", "exec curl -sS --fail --max-time 5 http://"+made.Spec.ClusterIP+"/pod", ""))
	shared.kubectl(t, ns, "wait", "pod/inside", "--for=jsonpath={.status.phase}=Succeeded", "--timeout", patience.String())
	if got := strings.TrimSpace(shared.kubectl(t, ns, "logs", "inside")); !slices.Contains(pods, got) {
		t.Errorf("from a pod, the Service is answered by %q; want one of %v", got, pods)
	}
}

func TestServiceWithoutEndpointsRefuses(t *testing.T) {
	ns := shared.namespace(t)
	shared.apply(t, ns, service)
	made := shared.service(t, ns, "web")
	const refused = 7 // curl's exit status where it cannot connect; a timeout is 28
	eventually(t, "refusal", func() error {
		if r := shared.run(t.Context(), "", "exec", "node-1", "--", "curl", "-sS", "--max-time", "5", "http://"+made.Spec.ClusterIP); r.code != refused {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
}

func TestUnreadyPodLeavesTheService(t *testing.T) {
	ns := shared.namespace(t)
	asked := strings.Replace(deployment, "tcpSocket: {port: 8080}", "httpGet: {path: /readyz, port: 8080}, failureThreshold: 1", 1)
	made, pods := shared.startService(t, ns, asked)
	turn := func(ready string) {
		shared.kubectl(t, ns, "exec", pods[0], "--", "curl", "-sS", "-X", "POST", "http://localhost:8080/ready?ok="+ready)
	}
	for _, step := range []struct {
		ready string
		pods  []string
	}{{"false", pods[1:]}, {"true", pods}} {
		turn(step.ready)
		eventually(t, "endpoints after ready="+step.ready, func() error {
			return shared.answeredBy(t, "node-2", "http://"+made.Spec.ClusterIP, step.pods)
		})
	}
}

func TestPodsSeeServicesInTheirEnvironment(t *testing.T) {
	ns := shared.namespace(t)
	made, _ := shared.startService(t, ns, deployment)
	shared.apply(t, ns, once("env", "env", ""))
	shared.kubectl(t, ns, "wait", "pod/env", "--for=jsonpath={.status.phase}=Succeeded", "--timeout", patience.String())
	env := strings.Fields(shared.kubectl(t, ns, "logs", "env"))
	for _, want := range []string{"WEB_SERVICE_HOST=" + made.Spec.ClusterIP, "WEB_SERVICE_PORT=80", "KUBERNETES_SERVICE_HOST=10.96.0.1"} {
		if !slices.Contains(env, want) {
			t.Errorf("a new pod does not have %s in its environment:\n%v", want, env)
		}
	}
}

func TestContestedAddressIsAnEvent(t *testing.T) {
	ns := shared.namespace(t)
	const contested = `
apiVersion: v1
kind: Service
metadata: {name: %s}
spec:
  externalIPs: [203.0.113.77]
  ports: [{port: 80}]
`
	shared.apply(t, ns, fmt.Sprintf(contested, "first"))
	// Which of two is older is told by seconds.
	first := shared.service(t, ns, "first")
	shared.apply(t, ns, fmt.Sprintf(contested, "second"))
	eventually(t, "an Event on the Service that lost", func() error {
		list, err := shared.client(t).CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=second"})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "203.0.113.77") && strings.Contains(e.Message, first.Name) {
				return nil
			}
		}
		return fmt.Errorf("%d Events, none of them that", len(list.Items))
	})
}
