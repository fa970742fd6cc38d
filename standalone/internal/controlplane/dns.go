package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

const (
	// probeInterval is how often every node's name server is tried, and startInterval how often while one is not there.
	probeInterval, startInterval = time.Second, 200 * time.Millisecond
	// probeTimeout is how long a name server may take to accept a connection.
	probeTimeout = time.Second
	// patience is how many probes may be unanswered; a refused connection counts at once.
	patience = 3
	// ensureInterval is how often the objects are looked at, which others may have deleted.
	ensureInterval = 10 * time.Second
)

// dnsKeeper keeps what the cluster DNS consists of in the API server: its Service and ConfigMap, the permissions of its servers, and
// the endpoints of the Service, which are the nodes whose name servers answer. There are no pods that the Service could select.
type dnsKeeper struct {
	client  kubernetes.Interface
	spec    *cluster.Spec
	log     *slog.Logger
	silent  []int // of node i at i-1: the probes in a row that were not answered
	ready   []bool
	ensured time.Time
}

// runDNS keeps the objects of the cluster DNS until the context ends. What fails is tried again: it is no failure of the control plane.
func runDNS(ctx context.Context, client kubernetes.Interface, spec *cluster.Spec, log *slog.Logger) error {
	k := &dnsKeeper{client: client, spec: spec, log: log, silent: make([]int, spec.Nodes), ready: make([]bool, spec.Nodes)}
	for said := ""; ; {
		err := k.keep(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			log.Error("the cluster DNS is not as it should be, trying again", "error", err)
		}
		pause := probeInterval
		if err != nil || !k.allReady() {
			pause = startInterval
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// keep does what there is to do now.
func (k *dnsKeeper) keep(ctx context.Context) error {
	changed := k.probeAll(ctx)
	due := time.Since(k.ensured) > ensureInterval
	if !changed && !due {
		return nil
	}
	k.ensured = time.Time{}
	if due {
		if err := errors.Join(k.ensurePermissions(ctx), k.ensureConfigMap(ctx)); err != nil {
			return err
		}
	}
	service, err := k.ensureService(ctx)
	if err != nil {
		return err
	}
	if service.Labels[cluster.DNSLabel] != "" { // else somebody's own, with endpoints of its own
		if err := k.updateSlices(ctx, service); err != nil {
			return err
		}
	}
	k.ensured = time.Now()
	return nil
}

func (k *dnsKeeper) allReady() bool {
	for _, ready := range k.ready {
		if !ready {
			return false
		}
	}
	return true
}

// probeAll tries every node's name server, and reports whether what is known of one has changed.
func (k *dnsKeeper) probeAll(ctx context.Context) bool {
	outcome := make([]error, len(k.ready))
	var probes sync.WaitGroup
	for i := range outcome {
		probes.Go(func() { outcome[i] = probe(ctx, cluster.NodeAddress(i+1).V4) })
	}
	probes.Wait()
	changed := false
	for i, err := range outcome {
		var timeout net.Error
		switch {
		case err == nil:
			k.silent[i] = 0
		case errors.As(err, &timeout) && timeout.Timeout():
			k.silent[i]++
		default:
			k.silent[i] = patience
		}
		if ready := err == nil || k.ready[i] && k.silent[i] < patience; ready != k.ready[i] {
			k.log.Info("cluster DNS", "node", cluster.NodeName(i+1), "serves", ready)
			k.ready[i], changed = ready, true
		}
	}
	return changed
}

// probe connects to the name server at an address. It asks no question, which would be one more line in a log of queries.
func probe(ctx context.Context, addr netip.Addr) error {
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, dnsPort).String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// ensureService returns the Service of the cluster DNS, which it makes if there is none.
func (k *dnsKeeper) ensureService(ctx context.Context) (*corev1.Service, error) {
	services := k.client.CoreV1().Services(metav1.NamespaceSystem)
	service, err := services.Get(ctx, cluster.DNSService, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		service, err = services.Create(ctx, dnsService(), metav1.CreateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("make Service %s/%s with the cluster IP %s: %w", metav1.NamespaceSystem, cluster.DNSService, cluster.DNSAddresses().V4, err)
	}
	return service, nil
}

// updateSlices makes the EndpointSlices say which nodes' name servers answer.
func (k *dnsKeeper) updateSlices(ctx context.Context, service *corev1.Service) error {
	slices := k.client.DiscoveryV1().EndpointSlices(metav1.NamespaceSystem)
	for _, want := range dnsSlices(k.spec, service, k.ready) {
		_, err := slices.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
				have, err := slices.Get(ctx, want.Name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				want.ResourceVersion = have.ResourceVersion
				_, err = slices.Update(ctx, want, metav1.UpdateOptions{})
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("write EndpointSlice %s/%s: %w", want.Namespace, want.Name, err)
		}
	}
	return nil
}

// removeDNS removes what an earlier run of the cluster with DNS has made, but for the ConfigMap, which users may have written. The
// slices are the Service's and go with it.
func removeDNS(ctx context.Context, client kubernetes.Interface) error {
	services := client.CoreV1().Services(metav1.NamespaceSystem)
	service, err := services.Get(ctx, cluster.DNSService, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && service.Labels[cluster.DNSLabel] == "" {
		return nil
	}
	if err == nil {
		err = services.Delete(ctx, cluster.DNSService, metav1.DeleteOptions{})
	}
	if err != nil {
		return fmt.Errorf("remove Service %s/%s: %w", metav1.NamespaceSystem, cluster.DNSService, err)
	}
	return nil
}
