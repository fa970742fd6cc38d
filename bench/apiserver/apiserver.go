// Package apiserver runs a real API server with its etcd, for benchmarks and tests: no controllers, so that every object is one that
// the caller has made.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/switchyard-net/switchyard/bench/process"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// startTimeout bounds the start of etcd and the API server: seconds on an idle machine.
const startTimeout = 2 * time.Minute

// Config says which API server to run.
type Config struct {
	// Binaries is the directory of etcd and kube-apiserver, which `make peers` builds.
	Binaries string
	// Dir is where the data, the logs and the kubeconfig go.
	Dir string
	// Address is the API server's on its LAN.
	Address netip.Prefix
	// Services are the networks of cluster IPs, one or one of each family.
	Services []netip.Prefix
}

// Server is an etcd and an API server in a namespace of their own.
type Server struct {
	// LAN is where others reach the API server; nil in a guest, which reaches it by its gateway.
	LAN *lab.LAN
	// Namespace is where the API server runs.
	Namespace *lab.Namespace
	// Client has all rights and no limit of its rate.
	Client kubernetes.Interface
	// Kubeconfig is the path of the file by which others reach the API server, with all rights.
	Kubeconfig string

	lab       *lab.Lab
	processes []*process.Process
}

// Start starts etcd and kube-apiserver, and returns when the API server is ready.
func Start(ctx context.Context, config Config) (_ *Server, err error) {
	s := &Server{Kubeconfig: filepath.Join(config.Dir, "kubeconfig")}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the API server: %w", err), s.Close())
		}
	}()
	if s.lab, err = lab.New("apiserver"); err != nil {
		return nil, err
	}
	if s.LAN, err = s.lab.NewLAN("lan", 0); err != nil {
		return nil, err
	}
	if s.Namespace, err = s.lab.NewNamespace("control"); err != nil {
		return nil, err
	}
	if err := s.LAN.Join(s.Namespace, "eth0", config.Address); err != nil {
		return nil, err
	}
	if err := writeCredentials(config, s.Kubeconfig); err != nil {
		return nil, err
	}
	for name, args := range map[string][]string{"etcd": config.etcd(), "kube-apiserver": config.apiserver()} {
		command := s.Namespace.Command(ctx, filepath.Join(config.Binaries, name), args...)
		started, err := process.Start(command, filepath.Join(config.Dir, name+".log"))
		if err != nil {
			return nil, fmt.Errorf("%w; `make peers` builds it", err)
		}
		s.processes = append(s.processes, started)
	}
	if s.Client, err = NewClient(s.Kubeconfig, s.Namespace); err != nil {
		return nil, err
	}
	return s, s.waitReady(ctx)
}

func (c Config) etcd() []string {
	return []string{
		"--data-dir=" + filepath.Join(c.Dir, "etcd"),
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--log-level=error", "--unsafe-no-fsync", "--quota-backend-bytes=4294967296",
	}
}

func (c Config) apiserver() []string {
	var services []string
	for _, network := range c.Services {
		services = append(services, network.String())
	}
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=" + c.Address.Addr().String(), "--advertise-address=" + c.Address.Addr().String(),
		"--secure-port=6443", "--cert-dir=" + filepath.Join(c.Dir, "certificates"),
		"--token-auth-file=" + c.tokens(), "--authorization-mode=AlwaysAllow",
		"--service-account-issuer=https://bench.invalid",
		"--service-account-key-file=" + c.key(), "--service-account-signing-key-file=" + c.key(),
		"--service-cluster-ip-range=" + strings.Join(services, ","), "--endpoint-reconciler-type=none",
		"--enable-priority-and-fairness=false", "--max-requests-inflight=4000", "--max-mutating-requests-inflight=4000",
		"--profiling=false",
	}
}

// waitReady waits for the API server.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		_, err := s.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return nil
		}
		for _, p := range s.processes {
			if err := p.Exited(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Close ends the API server and removes its network. The files stay.
func (s *Server) Close() error {
	var errs []error
	for _, p := range s.processes {
		errs = append(errs, p.Stop())
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}

// NewClient returns a client of an API server that reaches it from a namespace.
func NewClient(kubeconfig string, from *lab.Namespace) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS = -1
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		return from.Dial(ctx, network, to)
	}
	return kubernetes.NewForConfig(config)
}
