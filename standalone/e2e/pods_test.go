package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// deployment is three replicas of a server on port 8080 that says its pod's name.
const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: switchyard/echo
        ports: [{containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`

func TestDeploymentBecomesReadyOnBothNodes(t *testing.T) {
	ns := shared.namespace(t)
	shared.apply(t, ns, deployment)
	shared.kubectl(t, ns, "rollout", "status", "deployment/web", "--timeout", patience.String())
	pods, err := shared.client(t).CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]bool{}
	for _, pod := range pods.Items {
		nodes[pod.Spec.NodeName] = true
		if len(pod.Status.PodIPs) != 2 || len(pod.Status.HostIPs) != 2 {
			t.Errorf("pod %s has addresses %v on a node with %v; want both families", pod.Name, pod.Status.PodIPs, pod.Status.HostIPs)
		}
		for _, ip := range pod.Status.PodIPs {
			url := fmt.Sprintf("http://%s:8080/", ip.IP)
			if strings.Contains(ip.IP, ":") {
				url = fmt.Sprintf("http://[%s]:8080/", ip.IP)
			}
			for _, node := range []string{"node-1", "node-2"} {
				shared.must(t, "exec", node, "--", "curl", "-sS", "-o", "/dev/null", "--max-time", "10", url)
			}
		}
		through := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/", ns, pod.Name)
		shared.kubectl(t, ns, "get", "--raw", through)
	}
	if len(pods.Items) != 3 || len(nodes) != 2 {
		t.Errorf("%d pods on nodes %v; want 3 on both", len(pods.Items), nodes)
	}
}

// once is a pod that does one thing in a shell.
func once(name, script, more string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: any/name
    command: [sh, -c, %q]
%s`, name, script, more)
}

func TestExecLogsAndStatusOfAPod(t *testing.T) {
	ns := shared.namespace(t)
	shared.apply(t, ns, once("shell", "echo hello; exec sleep 600", ""))
	shared.kubectl(t, ns, "wait", "pod/shell", "--for=condition=Ready", "--timeout", patience.String())
	if logs := shared.kubectl(t, ns, "logs", "shell"); logs != "hello\n" {
		t.Errorf("logs: %q", logs)
	}
	r := shared.run(t.Context(), "from outside", "kubectl", "-n", ns, "exec", "-i", "shell", "--", "sh", "-c", "hostname; cat; exit 9")
	if r.code != 9 || r.stdout != "shell\nfrom outside" {
		t.Errorf("%s\nwant status 9, the host name and the input", r)
	}
	shared.kubectl(t, ns, "delete", "pod", "shell", "--timeout", patience.String())
}

func TestPodsSeeWhatTheyAreGiven(t *testing.T) {
	ns := shared.namespace(t)
	shared.kubectl(t, ns, "create", "configmap", "settings", "--from-literal=colour=green")
	script := `echo $COLOUR $NODE; cat /settings/colour; echo; test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token; ` +
		`echo $KUBERNETES_SERVICE_HOST; grep -c "$IP" /etc/hosts`
	shared.apply(t, ns, once("given", script, `    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    volumeMounts: [{name: settings, mountPath: /settings}]
  nodeSelector: {topology.kubernetes.io/zone: b}
  volumes: [{name: settings, configMap: {name: settings}}]
`))
	shared.kubectl(t, ns, "wait", "pod/given", "--for=jsonpath={.status.phase}=Succeeded", "--timeout", patience.String())
	want := "green node-2\ngreen\ntoken\n10.96.0.1\n1\n"
	if diff := cmp.Diff(want, shared.kubectl(t, ns, "logs", "given")); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
}

func TestContainersAreRestartedWithBackOff(t *testing.T) {
	ns := shared.namespace(t)
	manifest := strings.Replace(once("crashing", "exit 3", ""), "restartPolicy: Never", "restartPolicy: Always", 1)
	shared.apply(t, ns, manifest)
	client := shared.client(t)
	eventually(t, "a restarted container", func() error {
		pod, err := client.CoreV1().Pods(ns).Get(t.Context(), "crashing", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, status := range pod.Status.ContainerStatuses {
			last := status.LastTerminationState.Terminated
			if status.RestartCount > 0 && last != nil && last.ExitCode == 3 {
				return nil
			}
		}
		return fmt.Errorf("container statuses %v", pod.Status.ContainerStatuses)
	})
	eventually(t, "the back-off as an event", func() error { return hasEvent(t, ns, "crashing", "BackOff", "") })
}

func TestAnImageWithoutACommandIsAnEvent(t *testing.T) {
	ns := shared.namespace(t)
	shared.apply(t, ns, `
apiVersion: v1
kind: Pod
metadata: {name: unknown}
spec: {containers: [{name: main, image: nobody/knows}]}
`)
	eventually(t, "an event that names the way out", func() error { return hasEvent(t, ns, "unknown", "", "--images") })
}

// hasEvent returns an error unless a pod has an event with a reason and a message that contain these.
func hasEvent(t *testing.T, namespace, pod, reason, message string) error {
	t.Helper()
	events, err := shared.client(t).CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.name=" + pod,
	})
	if err != nil {
		return err
	}
	var seen []string
	for _, event := range events.Items {
		if strings.Contains(event.Reason, reason) && strings.Contains(event.Message, message) {
			return nil
		}
		seen = append(seen, event.Reason+": "+event.Message)
	}
	return fmt.Errorf("events:\n%s", strings.Join(seen, "\n"))
}
