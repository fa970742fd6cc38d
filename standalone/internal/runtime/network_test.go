package runtime_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestPodsReachEachOtherAndTheNode(t *testing.T) {
	c := startServer(t, "")
	web := c.run("web", nil)
	web.serve("tcp", 8080, "web")
	shell := c.run("client", nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	id := shell.start("main", "exec sleep 1000", nil)
	for target, source := range map[string]string{web.v4: shell.v4, web.v6: shell.v6} {
		want := "web " + source + " 3"
		got := c.exec(id, fmt.Sprintf("%s %s ask tcp %s", self, toolArg, net.JoinHostPort(target, "8080")))
		if got != want {
			t.Errorf("from pod to pod at %s: %q, want %q", target, got, want)
		}
	}
	// The node's probes come from the gateways' addresses.
	for target, gateway := range map[string]string{web.v4: "10.244.7.1", web.v6: "fd00:10:244:7::1"} {
		if got, want := mustAsk(t, "tcp", net.JoinHostPort(target, "8080")), "web "+gateway+" 3"; got != want {
			t.Errorf("from the node to %s: %q, want %q", target, got, want)
		}
	}
}

func TestHostNetwork(t *testing.T) {
	p := startServer(t, "").run("agent", func(c *cri.PodSandboxConfig) {
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
		c.PortMappings = []*cri.PortMapping{{HostPort: 9100, ContainerPort: 9100}}
	})
	if p.v4 != "" {
		t.Errorf("a pod in the node's network has the address %s", p.v4)
	}
	p.serve("tcp", 9100, "agent")
	if got := mustAsk(t, "tcp", "127.0.0.1:9100"); got != "agent 127.0.0.1 3" {
		t.Errorf("answer %q", got)
	}
}

func TestAddressesComeBackLast(t *testing.T) {
	c := startServer(t, "")
	first := c.run("first", nil)
	if _, err := c.RemovePodSandbox(t.Context(), &cri.RemovePodSandboxRequest{PodSandboxId: first.id}); err != nil {
		t.Fatal(err)
	}
	if second := c.run("second", nil); second.v4 == first.v4 || second.v6 == first.v6 {
		t.Errorf("addresses %s and %s were just given back", second.v4, second.v6)
	}
}

// TestHostPorts is the conformance rule: one number, three pods, different address or protocol.
func TestHostPorts(t *testing.T) {
	c := startServer(t, "")
	mapping := func(ip string, protocol cri.Protocol) func(*cri.PodSandboxConfig) {
		return func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{HostPort: 5432, ContainerPort: 8080, HostIp: ip, Protocol: protocol}}
		}
	}
	one, two, three := c.run("one", mapping("127.0.0.1", cri.Protocol_TCP)), c.run("two", mapping("127.0.0.2", cri.Protocol_TCP)),
		c.run("three", mapping("127.0.0.2", cri.Protocol_UDP))
	one.serve("tcp", 8080, "one")
	two.serve("tcp", 8080, "two")
	three.serve("udp", 8080, "three")
	for _, probe := range []struct{ network, addr, want string }{
		{"tcp", "127.0.0.1:5432", "one"}, {"tcp", "127.0.0.2:5432", "two"}, {"udp", "127.0.0.2:5432", "three"},
	} {
		if got, _, _ := strings.Cut(mustAsk(t, probe.network, probe.addr), " "); got != probe.want {
			t.Errorf("%s %s: answered by %q, want %q", probe.network, probe.addr, got, probe.want)
		}
	}
	taken := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "four", Namespace: "default"}, Hostname: "four"}
	mapping("127.0.0.1", cri.Protocol_TCP)(taken)
	if _, err := c.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: taken}); err == nil || !strings.Contains(err.Error(), "host port 5432/TCP") {
		t.Errorf("a host port that is taken: error %v", err)
	}
	if _, err := c.StopPodSandbox(t.Context(), &cri.StopPodSandboxRequest{PodSandboxId: one.id}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask("tcp", "127.0.0.1:5432"); err == nil {
		t.Error("the host port of a stopped pod still answers")
	}
}

func TestHostPortOnEveryAddress(t *testing.T) {
	p := startServer(t, "").run("web", func(c *cri.PodSandboxConfig) {
		c.PortMappings = []*cri.PortMapping{{HostPort: 5433, ContainerPort: 8080}}
	})
	p.serve("tcp", 8080, "web")
	for _, addr := range []string{"127.0.0.1:5433", "[::1]:5433"} {
		if got, _, _ := strings.Cut(mustAsk(t, "tcp", addr), " "); got != "web" {
			t.Errorf("%s: answered by %q", addr, got)
		}
	}
}

func TestSysctls(t *testing.T) {
	c := startServer(t, "")
	p := c.run("tuned", func(c *cri.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"net.ipv4.tcp_syncookies": "0", "kernel.shm_rmid_forced": "1"}
	})
	id := p.start("main", "exec sleep 1000", nil)
	if got := p.exec(id, "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start"); got != "0\n1\n0" {
		t.Errorf("sysctls in the pod: %q", got)
	}
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "greedy", Namespace: "default"},
		Linux:    &cri.LinuxPodSandboxConfig{Sysctls: map[string]string{"vm.swappiness": "1"}},
	}
	if _, err := c.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: config}); err == nil || !strings.Contains(err.Error(), "vm.swappiness") {
		t.Errorf("a sysctl of the host: error %v", err)
	}
}
