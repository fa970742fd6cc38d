package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestServiceSurvivesFaults takes away one part after the other under a Service. What is there must go on answering,
// and the end state be right.
func TestServiceSurvivesFaults(t *testing.T) {
	c := newCluster(t)
	made, pods := c.startService(t, corev1.NamespaceDefault, deployment)
	url := "http://" + made.Spec.ClusterIP
	answered := func(what string, want []string) {
		t.Helper()
		eventually(t, what, func() error { return c.answeredBy(t, "node-1", url, want) })
	}

	c.kill(t, "control-plane")
	if err := c.answeredBy(t, "node-1", url, pods); err != nil {
		t.Errorf("without the API server: %v", err)
	}
	c.restarted(t, "control-plane")
	eventually(t, "the API server again", func() error {
		_, err := c.client(t).CoreV1().Services(corev1.NamespaceDefault).Get(t.Context(), "web", metav1.GetOptions{})
		return err
	})
	c.kubectl(t, corev1.NamespaceDefault, "scale", "deployment/web", "--replicas", "4")
	c.kubectl(t, corev1.NamespaceDefault, "rollout", "status", "deployment/web", "--timeout", patience.String())
	pods = c.podNames(t, corev1.NamespaceDefault)
	answered("a pod that came after the API server's restart", pods)

	c.must(t, "exec", "node-1", "--", "nft", "delete", "table", "ip", "switchyard")
	answered("the table that outside hands deleted", pods)

	c.kill(t, "node-1")
	c.restarted(t, "node-1")
	eventually(t, "the node's pods again", func() error {
		_, err := c.ask(t, "node-1", url)
		return err
	})
	c.kubectl(t, corev1.NamespaceDefault, "wait", "pods", "-l", "app=web", "--for=condition=Ready", "--timeout", patience.String())
	answered("all pods of the node that was killed", c.podNames(t, corev1.NamespaceDefault))
}
