package userspace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// serverVariable makes the test binary a server that answers each line with its name.
const serverVariable = "SWITCHYARD_TEST_SERVER"

func TestMain(m *testing.M) {
	if name := os.Getenv(serverVariable); name != "" {
		fmt.Println(answerLines(name))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// answerLines does so on port 8080, and returns only if it cannot.
func answerLines(name string) error {
	l, err := net.Listen("tcp4", ":8080")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if _, err := fmt.Fprintln(c, name); err != nil {
					return
				}
			}
		}()
	}
}

// world is a client, a node with the backend, and two endpoints of one Service.
type world struct {
	t            *testing.T
	client, node *lab.Namespace
	endpoints    [2]*lab.Namespace
	servers      [2]*exec.Cmd
	backend      *Backend
	service      *plan.Service
}

const virtualAddress = "10.96.0.1:80"

func newWorld(t *testing.T) *world {
	l := lab.ForTest(t)
	lan := l.LAN("lan")
	w := &world{t: t, node: l.Host(lan, "node", "192.0.2.10/24"), client: l.Host(lan, "client", "192.0.2.30/24")}
	l.Must(w.node.SetSysctl("net.ipv4.ip_forward", "1"))
	l.Must(w.client.AddRoute(netip.MustParsePrefix("10.96.0.0/16"), netip.MustParseAddr("192.0.2.10")))
	var pool plan.Pool
	for i := range w.endpoints {
		w.endpoints[i] = l.Host(lan, fmt.Sprintf("e%d", i), fmt.Sprintf("192.0.2.2%d/24", i))
		w.serve(i)
		addr := netip.MustParseAddrPort(fmt.Sprintf("192.0.2.2%d:8080", i))
		pool = plan.Pool{Protocol: model.TCP, Endpoints: append(pool.Endpoints, plan.Endpoint{Addr: addr})}
	}
	vip := netip.MustParseAddrPort(virtualAddress)
	w.service = &plan.Service{
		Ref: model.Ref{Namespace: "default", Name: "web"}, ClusterIPs: []netip.Addr{vip.Addr()}, Pools: []plan.Pool{pool},
		Frontends: []plan.Frontend{{
			Key: plan.Key{Addr: vip.Addr(), Port: vip.Port(), Protocol: model.TCP}, LocalClientPool: plan.NoPool, Masquerade: plan.MasqueradeAlways,
		}},
	}
	w.backend = newBackend(t, w.node, Config{})
	w.sync(w.backend)
	return w
}

func (w *world) sync(b *Backend) {
	w.t.Helper()
	if _, err := b.Sync(w.t.Context(), plan.Update{Plan: planOf(plan.Node{MasqueradeBit: 14}, w.service), Full: true}); err != nil {
		w.t.Fatal(err)
	}
}

// serve starts the server of an endpoint, as a process.
func (w *world) serve(i int) {
	w.t.Helper()
	command := w.endpoints[i].Command(context.Background(), os.Args[0])
	command.Env = append(os.Environ(), fmt.Sprintf("%s=e%d", serverVariable, i))
	out, err := command.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.servers[i] = command
	w.t.Cleanup(func() { w.end(command) })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		w.t.Fatalf("the server of e%d: %q, %v", i, line, err)
	}
}

func (w *world) end(server *exec.Cmd) {
	_ = server.Process.Kill()
	_ = server.Wait()
}

// ask connects, says something, and returns who answers.
func (w *world) ask() (string, error) {
	c, err := w.client.Dial(w.t.Context(), "tcp", netip.MustParseAddrPort(virtualAddress))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		return "", err
	}
	return say(c)
}

func say(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "who?\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// expectOnly has each of some connections answered by one endpoint.
func (w *world) expectOnly(name, when string) {
	w.t.Helper()
	for range 20 {
		if got, err := w.ask(); got != name {
			w.t.Fatalf("%s: answered by %q, %v; want %s", when, got, err, name)
		}
	}
}

// expectBoth waits until both endpoints answer.
func (w *world) expectBoth(when string) {
	w.t.Helper()
	start := time.Now()
	eventually(w.t, "both answer "+when, func() error {
		seen := map[string]bool{}
		for range 20 {
			name, err := w.ask()
			if err != nil {
				return err
			}
			seen[name] = true
		}
		if len(seen) < 2 {
			return fmt.Errorf("only %v", seen)
		}
		return nil
	})
	w.t.Logf("%s: both answer after %v", when, time.Since(start).Round(time.Millisecond))
}

// TestFailoverRefused: no client notices that nobody listens at an endpoint any more.
func TestFailoverRefused(t *testing.T) {
	w := newWorld(t)
	w.expectBoth("at first")
	w.end(w.servers[0])
	w.expectOnly("e1", "after the process of e0 is gone")
	if s := w.backend.Stats(); s.Retried == 0 {
		t.Errorf("%+v; want retries", s)
	}
	w.serve(0)
	w.expectBoth("after it is back")
	w.end(w.servers[0])
	w.end(w.servers[1])
	eventually(t, "clients are cut off where no endpoint is left", func() error {
		if name, err := w.ask(); !errors.Is(err, syscall.ECONNRESET) {
			return fmt.Errorf("%q, %w", name, err)
		}
		return nil
	})
	w.serve(1)
	eventually(t, "the last endpoint is tried all the time", func() error { _, err := w.ask(); return err })
}

// TestFailoverUnplugged: no client notices that an endpoint's network is cut, but that its connection takes a second longer.
func TestFailoverUnplugged(t *testing.T) {
	w := newWorld(t)
	w.expectBoth("at first")
	w.link("down")
	w.expectOnly("e1", "after e0 is cut off")
	w.link("up")
	w.expectBoth("after it is back")
}

func (w *world) link(state string) {
	w.t.Helper()
	if out, err := w.endpoints[0].Command(w.t.Context(), "ip", "link", "set", "eth0", state).CombinedOutput(); err != nil {
		w.t.Fatalf("ip link set eth0 %s: %v: %s", state, err, out)
	}
}

// TestFailoverStopped: an endpoint whose process was stopped, although its kernel accepts connections, gets no more of
// them soon, and gets them again when it goes on.
func TestFailoverStopped(t *testing.T) {
	w := newWorld(t)
	w.expectBoth("at first")
	process := w.servers[0].Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, "the stopped endpoint gets no more", func() error {
		for range 10 {
			c, err := w.client.Dial(t.Context(), "tcp", netip.MustParseAddrPort(virtualAddress))
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
				return err
			}
			if _, err := say(c); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("no connection to the stopped endpoint after %v at most", time.Since(start).Round(time.Millisecond))
	w.expectOnly("e1", "once that is known")
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.expectBoth("after it goes on")
}
