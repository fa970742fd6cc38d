package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// waitPoll is how often Wait looks.
const waitPoll = 100 * time.Millisecond

// NewClient returns an administrator's client of the cluster.
func NewClient(spec *Spec) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", spec.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("load the cluster's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	return kubernetes.NewForConfig(config)
}

// stage is something that a cluster must have before it is ready.
type stage struct {
	// name says what is there once check has returned "".
	name string
	// check returns what is missing still, or "".
	check func(context.Context) (missing string, err error)
}

// Wait returns when the cluster is ready: the API server answers, controllers have made the default ServiceAccount, all
// nodes are Ready, the Service kubernetes has endpoints. It calls step as each is there. It fails when time is up, or
// as soon as the supervisor ends.
func Wait(ctx context.Context, spec *Spec, supervisor Process, patience time.Duration, step func(what string)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := NewClient(spec)
	if err != nil {
		return err
	}
	for _, s := range stages(client, spec, supervisor.Since) {
		if err := waitFor(ctx, s, supervisor, patience); err != nil {
			return err
		}
		step(s.name)
	}
	return nil
}

// waitFor returns when one stage is reached.
func waitFor(ctx context.Context, s stage, supervisor Process, patience time.Duration) error {
	tick := time.NewTicker(waitPoll)
	defer tick.Stop()
	missing := ""
	for {
		now, err := s.check(ctx)
		switch {
		case err == nil && now == "":
			return nil
		case err == nil:
			missing = now
		case ctx.Err() == nil:
			missing = err.Error()
		}
		if !supervisor.Alive() {
			return errors.New("the supervisor ended while the cluster started")
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("the cluster is not ready after %v: %s", patience, missing)
			}
			return errors.New("interrupted while the cluster started")
		case <-tick.C:
		}
	}
}

// stages returns what Wait waits for, in order.
func stages(client kubernetes.Interface, spec *Spec, began time.Time) []stage {
	all := []stage{
		{"the API server is ready", func(ctx context.Context) (string, error) { return checkAPI(ctx, client) }},
		{"the controllers work", func(ctx context.Context) (string, error) { return checkControllers(ctx, client) }},
		{"all nodes are Ready", func(ctx context.Context) (string, error) { return checkNodes(ctx, client, spec, began) }},
		{"the Service kubernetes has endpoints", func(ctx context.Context) (string, error) { return checkEndpoints(ctx, client) }},
	}
	if !spec.NoDNS {
		all = append(all, stage{"all nodes serve the cluster DNS", func(ctx context.Context) (string, error) { return checkDNS(ctx, client, spec) }})
	}
	return all
}

// checkAPI asks whether the API server is ready.
func checkAPI(ctx context.Context, client kubernetes.Interface) (string, error) {
	var status int
	err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
	if status == http.StatusOK {
		return "", nil
	}
	return "the API server is not ready", err
}

// checkControllers looks for what controllers make in every namespace and pods cannot be without.
func checkControllers(ctx context.Context, client kubernetes.Interface) (string, error) {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "namespace default has no ServiceAccount default", nil
	}
	if err != nil {
		return "", err
	}
	_, err = client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "namespace default has no ConfigMap kube-root-ca.crt", nil
	}
	return "", err
}

// checkNodes asks whether every node is Ready, takes pods and has said so since the cluster was started: after a restart,
// what the API server says at first is what was true at the end of the last run.
func checkNodes(ctx context.Context, client kubernetes.Interface, spec *Spec, began time.Time) (string, error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	leases, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	ready := map[string]bool{}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		ready[node.Name] = nodeReady(node) == corev1.ConditionTrue && len(node.Spec.Taints) == 0
	}
	renewed := map[string]bool{}
	for _, lease := range leases.Items {
		renewed[lease.Name] = lease.Spec.RenewTime != nil && lease.Spec.RenewTime.After(began)
	}
	var missing []string
	for _, name := range spec.NodeNames() {
		if !ready[name] || !renewed[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return "not Ready: " + strings.Join(missing, ", "), nil
	}
	return "", nil
}

// nodeReady returns the status of a node's condition Ready.
func nodeReady(node *corev1.Node) corev1.ConditionStatus {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status
		}
	}
	return corev1.ConditionUnknown
}

// checkEndpoints asks whether pods can reach the API server by its Service.
func checkEndpoints(ctx context.Context, client kubernetes.Interface) (string, error) {
	slices, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=kubernetes",
	})
	if err != nil {
		return "", err
	}
	for _, slice := range slices.Items {
		if len(slice.Endpoints) > 0 {
			return "", nil
		}
	}
	return "the Service default/kubernetes has no endpoints", nil
}

// checkDNS asks whether every node's name server is an endpoint of the cluster DNS.
func checkDNS(ctx context.Context, client kubernetes.Interface, spec *Spec) (string, error) {
	service, err := client.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, DNSService, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("there is no Service %s/%s", metav1.NamespaceSystem, DNSService), nil
	}
	if err != nil || service.Labels[DNSLabel] == "" {
		return "", err // whose own it is knows when it is ready
	}
	list, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + DNSService,
	})
	if err != nil {
		return "", err
	}
	serving := map[string]bool{}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.NodeName != nil && e.Conditions.Ready != nil && *e.Conditions.Ready {
				serving[*e.NodeName] = true
			}
		}
	}
	var missing []string
	for _, name := range spec.NodeNames() {
		if !serving[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Sprintf("the cluster DNS is not served on %s: see `kubectl -n %s describe configmap %s`",
			strings.Join(missing, ", "), metav1.NamespaceSystem, DNSConfigMap), nil
	}
	return "", nil
}
