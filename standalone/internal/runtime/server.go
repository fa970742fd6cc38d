package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/podnet"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime/shim"
)

// ShimCommand is the first argument with which Server executes Config.Self: its main must call ShimMain then.
const ShimCommand = shim.Command

// ShimMain is the main function of a container's first process. It does not return.
func ShimMain() { shim.Main() }

// maxMessage bounds a gRPC message; the kubelet's own limit.
const maxMessage = 16 << 20

// Server is a node's container runtime.
type Server struct {
	config    Config
	pool      *podnet.Pool
	streaming streaming.Server
	streams   net.Listener
	socket    net.Listener

	mu         sync.Mutex
	sandboxes  map[string]*sandbox        // by ID; guarded by mu
	containers map[string]*container      // by ID; guarded by mu
	seen       map[string]bool            // image names that somebody pulled; guarded by mu
	missing    map[string]map[string]bool // pod UID to image names that had no command; guarded by mu
}

// New clears what an earlier runtime left in Config.Root, prepares the node's network namespace, which must be the
// caller's, and takes Config.Socket: clients may dial, and are answered once Run is called.
func New(config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.Self == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the binary to execute as the container shim: %w", err)
		}
		config.Self = self
	}
	config.Hide = append([]string{config.Root}, config.Hide...)
	if err := os.MkdirAll(config.Root, 0o711); err != nil {
		return nil, fmt.Errorf("make the container runtime's directory: %w", err)
	}
	if err := clearState(config.Root, config.Log); err != nil {
		return nil, err
	}
	pool, err := podnet.NewPool(config.PodCIDRs, filepath.Join(config.Root, "next-address"))
	if err != nil {
		return nil, err
	}
	if err := pool.PrepareNode(); err != nil {
		return nil, fmt.Errorf("prepare the node's network: %w", err)
	}
	s := &Server{
		config: config, pool: pool,
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
		seen: map[string]bool{}, missing: map[string]map[string]bool{},
	}
	if err := s.listenStreams(); err != nil {
		return nil, err
	}
	if s.socket, err = listenUnix(config.Socket); err != nil {
		return nil, errors.Join(err, s.streams.Close())
	}
	return s, nil
}

// listenStreams opens the port on the node's loopback interface that exec, attach and port-forward come in on.
func (s *Server) listenStreams() error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for exec, attach and port-forward: %w", err)
	}
	config := streaming.DefaultConfig
	config.BaseURL = &url.URL{Scheme: "http", Host: listener.Addr().String()}
	server, err := streaming.NewServer(config, streamer{s})
	if err != nil {
		return errors.Join(fmt.Errorf("make the streaming server: %w", err), listener.Close())
	}
	s.streaming, s.streams = server, listener
	return nil
}

// Run serves CRI until the context ends. Then it kills every container and removes every sandbox.
func (s *Server) Run(ctx context.Context) error {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.WaitForHandlers(true))
	cri.RegisterRuntimeServiceServer(server, &runtimeService{Server: s})
	cri.RegisterImageServiceServer(server, &imageService{Server: s})
	streams := &http.Server{Handler: s.streaming, ReadHeaderTimeout: 30 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(s.socket) }()
	go func() { failed <- streams.Serve(s.streams) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve the container runtime: %w", err)
	}
	server.Stop()
	return errors.Join(err, streams.Close(), s.removeAll())
}

// listenUnix takes over the path of a socket that nobody serves any more.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("socket %s: another process serves it", path), conn.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve CRI: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), listener.Close())
	}
	return listener, nil
}

// removeAll leaves nothing behind.
func (s *Server) removeAll() error {
	var errs []error
	for _, sb := range s.sandboxList() {
		errs = append(errs, s.removeSandbox(sb))
	}
	return errors.Join(errs...)
}

// newID is as long and as random as those of other runtimes.
func newID() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails: crypto/rand
	return hex.EncodeToString(raw)
}
