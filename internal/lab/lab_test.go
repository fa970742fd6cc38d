package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// answer dials from one namespace to a listener in another, and returns what the listener says.
func answer(t *testing.T, from, to *Namespace, at netip.AddrPort) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	listener, err := to.Listen(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%s", to.Name())
		conn.Close()
	}()
	conn, err := from.Dial(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	said, err := io.ReadAll(conn)
	return string(said), err
}

func TestLANJoinsNamespacesInBothFamilies(t *testing.T) {
	l := ForTest(t)
	lan := l.LAN("lan")
	a := l.Host(lan, "a", "192.0.2.1/24", "2001:db8::1/64")
	b := l.Host(lan, "b", "192.0.2.2/24", "2001:db8::2/64")
	for _, at := range []string{"192.0.2.2:80", "[2001:db8::2]:80"} {
		said, err := answer(t, a, b, netip.MustParseAddrPort(at))
		if err != nil || said != "b" {
			t.Errorf("dial %s from a: %q, %v; want b", at, said, err)
		}
	}
}

func TestRoutesCrossARouter(t *testing.T) {
	l := ForTest(t)
	a, router, b := l.Namespace("a"), l.Namespace("router"), l.Namespace("b")
	l.Must(Link(a, router, LinkOptions{
		A:   End{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/30")}},
		B:   End{Name: "toa", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/30")}},
		MTU: 1400,
	}))
	l.Must(Link(b, router, LinkOptions{
		A: End{Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/30")}},
		B: End{Name: "tob", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.2/30")}},
	}))
	l.Must(router.SetSysctl("net.ipv4.ip_forward", "1"))
	l.Must(a.AddDefaultRoute(netip.MustParseAddr("192.0.2.2")))
	l.Must(b.AddRoute(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("198.51.100.2")))
	said, err := answer(t, a, b, netip.MustParseAddrPort("198.51.100.1:80"))
	if err != nil || said != "b" {
		t.Errorf("dial b from a: %q, %v", said, err)
	}
	link, err := router.Netlink().LinkByName("toa")
	if err != nil || link.Attrs().MTU != 1400 {
		t.Errorf("toa: %v, %v; want an MTU of 1400", link, err)
	}
}

func TestNamespaceHasNoRouteOut(t *testing.T) {
	ns := ForTest(t).Namespace("alone")
	links, err := ns.Netlink().LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, link := range links {
		if link.Attrs().Flags&1 != 0 { // IFF_UP
			names = append(names, link.Attrs().Name)
		}
	}
	if diff := cmp.Diff([]string{"lo"}, names); diff != "" {
		t.Errorf("interfaces that are up (-want +got):\n%s", diff)
	}
	routes, err := ns.Netlink().RouteList(nil, netlink.FAMILY_V4)
	if err != nil || len(routes) != 0 {
		t.Errorf("routes %v, %v; want none", routes, err)
	}
}

func TestDoReturnsTheThread(t *testing.T) {
	ns := ForTest(t).Namespace("a")
	inside := ""
	failure := errors.New("from f")
	err := ns.Do(func() (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("Do returned %v; want the error of f", err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil || inside == own || inside == "" {
		t.Errorf("inside %s, outside %s, %v; want two namespaces", inside, own, err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		link, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && link == inside {
			t.Errorf("thread %s was left in the namespace", task.Name())
		}
	}
}

func TestCommandRunsInside(t *testing.T) {
	ns := ForTest(t).Namespace("a")
	l := ns.Command(t.Context(), "sh", "-c", "readlink /proc/self/ns/net; exit 3")
	out, err := l.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit: %v; want 3", err)
	}
	want := identity(t, ns)
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("the command ran in %s; want %s", got, want)
	}
}

func TestSysctlOutsideNetIsRefused(t *testing.T) {
	ns := ForTest(t).Namespace("a")
	if err := ns.SetSysctl("kernel.hostname", "x"); err == nil {
		t.Error("a sysctl of the whole machine was written")
	}
}

func TestCloseKillsAndRemoves(t *testing.T) {
	l := ForTest(t)
	ns := l.Namespace("a")
	cmd := ns.Command(t.Context(), "sleep", "600")
	entered := make(chan error, 1)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { entered <- cmd.Wait() }()
	waitInside(t, ns, cmd.Process.Pid)
	l.Must(l.Close())
	l.Must(l.Close())
	if err := <-entered; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process in the namespace: %v; want it killed", err)
	}
	if _, err := os.Stat(ns.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat %s: %v; want it gone", ns.Path(), err)
	}
}

// identity returns what /proc shows of processes in a namespace.
func identity(t *testing.T, ns *Namespace) (link string) {
	t.Helper()
	if err := ns.Do(func() (err error) {
		link, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return link
}

// waitInside returns when a process that is on its way into a namespace has arrived.
func waitInside(t *testing.T, ns *Namespace, pid int) {
	t.Helper()
	want := identity(t, ns)
	for t.Context().Err() == nil {
		if got, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); got == want {
			return
		}
	}
}

func TestSweepClearsOnlyTheDead(t *testing.T) {
	alive := ForTest(t).Namespace("alive")
	kept, err := Keep("sweeptest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	stays, err := kept.NewNamespace("stays")
	if err != nil {
		t.Fatal(err)
	}
	// A process that is gone: one of our own id, with another start time.
	dead := &Lab{prefix: fmt.Sprintf("%s%d-%d-x-", ownedPrefix, os.Getpid(), 1)}
	left, err := dead.NewNamespace("left")
	if err != nil {
		t.Fatal(err)
	}
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{alive.Path(): true, stays.Path(): true, left.Path(): false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("stat %s after Sweep: %v; want it there: %v", path, err, want)
		}
	}
	if err := Clear("sweeptest"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stays.Path()); err == nil {
		t.Error("Clear left the namespace of its lab")
	}
}

func TestOwner(t *testing.T) {
	for name, want := range map[string]bool{
		"swy-12-34-lab-ns":   true,
		"swy-12-34-a-b-c":    true,
		"swyd-12ab-ns":       false,
		"swy-12-lab":         false,
		"swy-x-34-lab-ns":    false,
		"somebody-elses":     false,
		"swy-12-x-lab-ns":    false,
		"swy-12-34-lab-ns.1": true,
	} {
		if _, _, ok := owner(name); ok != want {
			t.Errorf("owner(%q): %v, want %v", name, ok, want)
		}
	}
}
