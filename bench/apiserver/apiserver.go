package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/lab"
)

const (
	nodeName = "bench-node"
	token    = "bench" // of the only user; the API server can be reached from the benchmark's namespaces only
	// startTimeout bounds the start of etcd and the API server: seconds on an idle machine.
	startTimeout = 2 * time.Minute
)

// controlPlane is an etcd and an API server in a namespace of their own.
type controlPlane struct {
	lab        *lab.Lab
	lan        *lab.LAN // where a node reaches the API server; nil in a guest
	namespace  *lab.Namespace
	client     kubernetes.Interface
	kubeconfig string // path
	processes  []*process
}

// startControlPlane starts etcd and kube-apiserver from the directory binaries, with their data and logs in dir.
func startControlPlane(ctx context.Context, binaries, dir string) (_ *controlPlane, err error) {
	c := &controlPlane{kubeconfig: filepath.Join(dir, "kubeconfig")}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the API server: %w", err), c.close())
		}
	}()
	if c.lab, err = lab.New("bench-control"); err != nil {
		return nil, err
	}
	if c.lan, err = c.lab.NewLAN("lan", 0); err != nil {
		return nil, err
	}
	control, err := c.lab.NewNamespace("control")
	if err != nil {
		return nil, err
	}
	c.namespace = control
	if err := c.lan.Join(control, "eth0", controlAddress); err != nil {
		return nil, err
	}
	if err := writeCredentials(dir, c.kubeconfig); err != nil {
		return nil, err
	}
	for name, args := range map[string][]string{"etcd": etcdArgs(dir), "kube-apiserver": apiserverArgs(dir)} {
		command := control.Command(ctx, filepath.Join(binaries, name), args...)
		started, err := startProcess(command, filepath.Join(dir, name+".log"))
		if err != nil {
			return nil, err
		}
		c.processes = append(c.processes, started)
	}
	if c.client, err = newClient(c.kubeconfig, control); err != nil {
		return nil, err
	}
	return c, c.waitReady(ctx)
}

func etcdArgs(dir string) []string {
	return []string{
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--log-level=error", "--unsafe-no-fsync", "--quota-backend-bytes=4294967296",
	}
}

func apiserverArgs(dir string) []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=" + controlAddress.Addr().String(), "--advertise-address=" + controlAddress.Addr().String(),
		"--secure-port=6443", "--cert-dir=" + filepath.Join(dir, "certificates"),
		"--token-auth-file=" + filepath.Join(dir, "tokens.csv"), "--authorization-mode=AlwaysAllow",
		"--service-account-issuer=https://bench.invalid",
		"--service-account-key-file=" + filepath.Join(dir, "service-account.key"),
		"--service-account-signing-key-file=" + filepath.Join(dir, "service-account.key"),
		"--service-cluster-ip-range=" + serviceNetwork.String(), "--endpoint-reconciler-type=none",
		"--enable-priority-and-fairness=false", "--max-requests-inflight=4000", "--max-mutating-requests-inflight=4000",
		"--profiling=false",
	}
}

// writeCredentials makes the API server's signing key and the one user, and the kubeconfig that names both to a client.
func writeCredentials(dir, kubeconfig string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a service account key: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the service account key: %w", err)
	}
	server := netip.AddrPortFrom(controlAddress.Addr(), 6443)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "service-account.key"),
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), 0o600),
		os.WriteFile(filepath.Join(dir, "tokens.csv"), []byte(token+`,admin,admin,"system:masters"`+"\n"), 0o600),
		os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: bench
  cluster: {server: "https://%s", insecure-skip-tls-verify: true}
users:
- name: admin
  user: {token: %s}
contexts:
- name: bench
  context: {cluster: bench, user: admin}
current-context: bench
`, server, token), 0o600),
	)
}

// waitReady waits for the API server and makes the Node that the systems under test run on.
func (c *controlPlane) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelHostname: nodeName}}}
	created, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create Node %s: %w", nodeName, err)
	}
	created.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress.Addr().String()}}
	if _, err := c.client.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give Node %s its address: %w", nodeName, err)
	}
	return nil
}

func (c *controlPlane) close() error {
	var errs []error
	for _, p := range c.processes {
		errs = append(errs, p.stop())
	}
	if c.lab != nil {
		errs = append(errs, c.lab.Close())
	}
	return errors.Join(errs...)
}
