package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// childVariable asks the test binary to be the node that the tests below start in a namespace; its value is
// "overlap" where overlapping networks are to be allowed, "dns" for the cluster DNS, and "mode=" with a mode for another than the default.
const childVariable = "SWITCHYARD_TEST_NODE"

func TestMain(m *testing.M) {
	if mode, ok := os.LookupEnv(childVariable); ok {
		os.Exit(child(mode))
	}
	os.Exit(m.Run())
}

// child runs a node against a cluster in memory, until SIGTERM.
func child(mode string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := func() error {
		proxyMode, _ := strings.CutPrefix(mode, "mode=")
		if mode == "overlap" || mode == "dns" {
			proxyMode = ""
		}
		cfg, err := config.DefaultNodeIn(proxyMode, "n1")
		if err != nil {
			return err
		}
		cfg.AllowNetworkOverlap = mode == "overlap"
		var more []func(map[string]any)
		if mode == "dns" {
			cfg.DNS = config.DNS{Enabled: true, LocalAddresses: []string{"169.254.20.10"}}
			more = append(more, addDNS)
		}
		client, disconnect, err := serveCluster(more...)
		if err != nil {
			return err
		}
		defer disconnect()
		n, err := New(ctx, cfg, Deps{Client: client, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			return err
		}
		return n.Run(ctx)
	}()
	if err != nil {
		fmt.Println(err)
		if errors.Is(err, ErrNetworkOverlap) {
			return 3
		}
		return 1
	}
	return 0
}

// process is a node in a namespace.
type process struct {
	ns     *lab.Namespace
	exited chan error
	output *transcript
	signal func(os.Signal) error
}

// transcript is what a process has said so far.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// startNode runs a node as a process of its own in a namespace with this address, until the end of the test.
func startNode(t *testing.T, ns *lab.Namespace, mode string, env ...string) *process {
	t.Helper()
	p := &process{ns: ns, exited: make(chan error, 1), output: &transcript{}}
	command := ns.Command(context.Background(), os.Args[0])
	command.Env = append(append(os.Environ(), childVariable+"="+mode), env...)
	command.Stdout, command.Stderr = p.output, p.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p.signal = command.Process.Signal
	go func() { p.exited <- command.Wait() }()
	t.Cleanup(func() {
		// Of a test that failed. An error means that it has ended.
		_ = command.Process.Kill()
	})
	return p
}

// stop ends the node with SIGTERM and returns how it exited.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return <-p.exited
}

// get returns the code and the body of a page that the node serves, once it serves it.
func (p *process) get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.ns.Dial(ctx, "tcp", netip.MustParseAddrPort(address))
	}}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := client.Get("http://" + address + path)
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatalf("GET %s: %v", path, err)
			}
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
}

// expectRuleset waits until the namespace's nftables have all of the parts, or, with !, have them not.
func expectRuleset(t *testing.T, ns *lab.Namespace, parts ...string) {
	t.Helper()
	missing := func(text string) string {
		for _, part := range parts {
			if name, not := strings.CutPrefix(part, "!"); strings.Contains(text, name) == not {
				return part
			}
		}
		return ""
	}
	var last string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		out, err := ns.Command(t.Context(), "nft", "list", "ruleset").Output()
		if err != nil {
			t.Fatal(err)
		}
		if last = missing(string(out)); last == "" {
			return
		}
	}
	t.Errorf("the ruleset is not as it should be: %s", last)
}

// TestNodeServes starts a whole node in a namespace that kube-proxy has left rules in, kills it and starts it again.
func TestNodeServes(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Host(l.LAN("lan"), "node", "192.0.2.11/24")
	l.Must(ns.Command(t.Context(), "nft", "add table ip kube-proxy").Run())
	node := startNode(t, ns, "")
	expectRuleset(t, ns, "10.96.0.80", "192.0.2.50 . 8080", "!kube-proxy")
	for path, want := range map[string]string{"/proxyMode": "nftables", "/healthz": "ok", "/metrics": "switchyard_proxy_applied_generation"} {
		if code, body := node.get(t, "127.0.0.1:10249", path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s; want %s", path, code, body, want)
		}
	}
	if code, body := node.get(t, "192.0.2.11:10256", "/healthz"); code != http.StatusOK || !strings.Contains(body, `"nodeEligible":true`) {
		t.Errorf("/healthz: %d %s", code, body)
	}
	l.Must(node.signal(syscall.SIGKILL))
	<-node.exited
	expectRuleset(t, ns, "10.96.0.80", "192.0.2.50 . 8080")
	l.Must(ns.Command(t.Context(), "nft", "delete element ip switchyard cluster-ips { 10.96.0.80 }").Run())
	node = startNode(t, ns, "")
	expectRuleset(t, ns, "elements = { 10.96.0.80 }")
	if err := node.stop(); err != nil {
		t.Errorf("exit after SIGTERM: %v\n%s", err, node.output)
	}
	expectRuleset(t, ns, "elements = { 10.96.0.80 }")
}

func TestNodeRefusesAnOverlapOfNetworks(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Host(l.LAN("lan"), "node", "192.0.2.11/24")
	l.Must(ns.Command(t.Context(), "sh", "-c", "ip link add docker0 type bridge && ip addr add 10.96.0.1/16 dev docker0").Run())
	node := startNode(t, ns, "")
	err := <-node.exited
	said := node.output.String()
	for _, want := range []string{"10.96.0.0/16 (ServiceCIDR kubernetes)", "interface docker0, a Docker bridge", "--allow-network-overlap"} {
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("exit: %v; output without %q:\n%s", err, want, said)
		}
	}
	expectRuleset(t, ns, "!switchyard")
	node = startNode(t, ns, "overlap")
	expectRuleset(t, ns, "10.96.0.80")
	if err := node.stop(); err != nil {
		t.Errorf("exit after SIGTERM: %v\n%s", err, node.output)
	}
}
