package runtime_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime"
)

// client is a CRI client as the kubelet is one.
type client struct {
	t    testing.TB
	logs string
	cri.RuntimeServiceClient
	images cri.ImageServiceClient
}

// startServer runs a runtime in this process, which is in a node's network namespace, until the test ends.
func startServer(t testing.TB, images string) *client {
	t.Helper()
	return startServerIn(t, t.TempDir(), images)
}

func startServerIn(t testing.TB, root, images string) *client {
	t.Helper()
	config := nodeConfig(root)
	file := ""
	if images != "" {
		file = filepath.Join(t.TempDir(), "images.yaml")
		if err := os.WriteFile(file, []byte(images), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if config.Images, err = runtime.LoadImages(file); err != nil {
		t.Fatal(err)
	}
	server, err := runtime.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
	})
	return dial(t, config.Socket)
}

func dialUnix(socket string) (net.Conn, error) { return net.Dial("unix", socket) }

func dial(t testing.TB, socket string) *client {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, logs: t.TempDir(), RuntimeServiceClient: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn)}
}

// pod is a sandbox with what the tests need of it.
type pod struct {
	*client
	id     string
	config *cri.PodSandboxConfig
	v4, v6 string
}

// run makes a pod; change may alter its description first.
func (c *client) run(name string, change func(*cri.PodSandboxConfig)) *pod {
	c.t.Helper()
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-uid"},
		Hostname: name, LogDirectory: filepath.Join(c.logs, name),
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
		}},
	}
	if change != nil {
		change(config)
	}
	resp, err := c.RunPodSandbox(c.t.Context(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		c.t.Fatal(err)
	}
	p := &pod{client: c, id: resp.GetPodSandboxId(), config: config}
	status := p.status()
	p.v4 = status.GetNetwork().GetIp()
	if more := status.GetNetwork().GetAdditionalIps(); len(more) > 0 {
		p.v6 = more[0].GetIp()
	}
	return p
}

func (p *pod) status() *cri.PodSandboxStatus {
	p.t.Helper()
	resp, err := p.PodSandboxStatus(p.t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: p.id})
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.GetStatus()
}

// create prepares a container that runs a shell script, unless change says otherwise.
func (p *pod) create(name, script string, change func(*cri.ContainerConfig)) (string, error) {
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name}, Image: &cri.ImageSpec{Image: "any:1", UserSpecifiedImage: "any:1"},
		Command: []string{"sh", "-c"}, Args: []string{script}, LogPath: name + "/0.log",
		Labels: map[string]string{"name": name},
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: p.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid()},
		}},
	}
	if change != nil {
		change(config)
	}
	resp, err := p.CreateContainer(p.t.Context(), &cri.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	return resp.GetContainerId(), err
}

// start runs a shell script in a container.
func (p *pod) start(name, script string, change func(*cri.ContainerConfig)) string {
	p.t.Helper()
	id, err := p.create(name, script, change)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.StartContainer(p.t.Context(), &cri.StartContainerRequest{ContainerId: id}); err != nil {
		p.t.Fatal(err)
	}
	return id
}

func (c *client) container(id string) *cri.ContainerStatus {
	c.t.Helper()
	resp, err := c.ContainerStatus(c.t.Context(), &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.GetStatus()
}

// exec runs a shell script in a running container and returns its standard output.
func (c *client) exec(id, script string) string {
	c.t.Helper()
	resp, err := c.ExecSync(c.t.Context(), &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Timeout: 20})
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.GetExitCode() != 0 {
		c.t.Fatalf("%s: exit code %d: %s%s", script, resp.GetExitCode(), resp.GetStdout(), resp.GetStderr())
	}
	return strings.TrimSpace(string(resp.GetStdout()))
}

// ended waits for a container's end.
func (c *client) ended(id string) *cri.ContainerStatus {
	c.t.Helper()
	var status *cri.ContainerStatus
	c.eventually("the container ends", func() bool {
		status = c.container(id)
		return status.GetState() == cri.ContainerState_CONTAINER_EXITED
	})
	return status
}

// eventually polls: what other processes do cannot be waited for.
func (c *client) eventually(what string, done func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// log returns a container's log without the times.
func (p *pod) log(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.config.GetLogDirectory(), name, "0.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		at, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			p.t.Errorf("log line %q: %v", line, err)
		}
		lines = append(lines, rest)
	}
	return strings.Join(lines, "")
}

func mount(source, target string, readOnly bool) func(*cri.ContainerConfig) {
	return func(c *cri.ContainerConfig) {
		c.Mounts = append(c.Mounts, &cri.Mount{HostPath: source, ContainerPath: target, Readonly: readOnly})
	}
}
