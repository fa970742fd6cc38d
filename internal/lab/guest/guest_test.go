package guest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// patience is how long something may take that must happen.
const patience = 2 * time.Minute

// boot boots a guest that ends with the test.
func boot(t *testing.T, m guest.Machine) *guest.Guest {
	t.Helper()
	g, err := guest.Boot(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// run runs a shell script in the guest, which must succeed, and returns its output.
func run(t *testing.T, g *guest.Guest, script string) string {
	t.Helper()
	var out, errs strings.Builder
	state, err := g.Run(t.Context(), guest.Command{Args: []string{"sh", "-c", script}, Stdout: &out, Stderr: &errs})
	if err != nil || state.Code != 0 {
		t.Fatalf("%s: code %d, %v\n%s%s", script, state.Code, err, &out, &errs)
	}
	return out.String()
}

// TestGuest shows one guest from all sides.
func TestGuest(t *testing.T) {
	g := boot(t, guest.Machine{})
	t.Run("Command", func(t *testing.T) { testCommand(t, g) })
	t.Run("KernelFeatures", func(t *testing.T) { testFeatures(t, g) })
	t.Run("Files", func(t *testing.T) { testFiles(t, g) })
	t.Run("TwoProcessesAreMeasured", func(t *testing.T) { testMeasure(t, g) })
	t.Run("Signal", func(t *testing.T) { testSignal(t, g) })
	t.Run("Panic", func(t *testing.T) { testPanic(t, g) }) // the last
}

func testCommand(t *testing.T, g *guest.Guest) {
	dir := t.TempDir()
	var out, errs strings.Builder
	state, err := g.Run(t.Context(), guest.Command{
		Args: []string{"sh", "-c", `pwd; printf '%s|' "$@" "$WORD" "$SWITCHYARD_GUEST"; echo wrong >&2; exit 3`, "sh", "it's", "two words", "", "$HOME"},
		Dir:  dir, Env: []string{"WORD=a 'b' \"c\""}, Stdout: &out, Stderr: &errs,
	})
	if err != nil || state.Code != 3 {
		t.Errorf("code %d, %v; want 3", state.Code, err)
	}
	want := dir + "\nit's|two words||$HOME|a 'b' \"c\"|1|"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if errs.String() != "wrong\n" {
		t.Errorf("standard error %q", &errs)
	}
	if _, err := g.Start(guest.Command{}); err == nil {
		t.Error("a command without arguments was started")
	}
}

// testFeatures looks for what the guest is there for.
func testFeatures(t *testing.T, g *guest.Guest) {
	run(t, g, "test -e /proc/net/ip_vs && test -d /proc/net/sctp && ip link add probe type dummy && ip link delete probe")
	run(t, g, "iptables -t nat -A OUTPUT -p sctp --dport 1 -j REDIRECT && ip6tables -t nat -A OUTPUT -p tcp -m statistic --mode random --probability 0.5 -j REDIRECT")
	if links := strings.Count(run(t, g, "ip -o link"), "\n"); links != 1 {
		t.Errorf("%d network devices; want the loopback only", links)
	}
}

// testFiles writes where the guest sees the machine's files, which must stay as they are.
func testFiles(t *testing.T, g *guest.Guest) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("machine"), 0o644); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(g.Shared(), "result")
	if got := run(t, g, "cat "+file+"; echo guest >"+file+"; rm "+file+"; echo result >"+shared); got != "machine" {
		t.Errorf("the guest reads %q", got)
	}
	// The machine's root lies below the guest's own; there, not even root can write.
	run(t, g, "mount -o remount,rw /mnt && ! touch /mnt"+file+".new && test ! -e /mnt"+file+".new")
	for path, want := range map[string]string{file: "machine", shared: "result\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
		}
	}
}

// testMeasure runs a busy process beside an idle one, and compares their processor times.
func testMeasure(t *testing.T, g *guest.Guest) {
	var processes [2]*guest.Process
	for i, script := range []string{"i=0; while test $i -lt 300000; do i=$((i+1)); done", "exec sleep 1"} {
		p, err := g.Start(guest.Command{Args: []string{"sh", "-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		processes[i] = p
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var times [2]time.Duration
	for i, p := range processes {
		state, err := p.Wait(ctx)
		if err != nil || state.Code != 0 {
			t.Fatalf("process %d: code %d, %v", i, state.Code, err)
		}
		times[i] = state.User + state.System
	}
	if t.Logf("busy %s, idle %s", times[0], times[1]); times[0] <= times[1] {
		t.Error("the busy process used no more processor time than the idle one")
	}
}

func testSignal(t *testing.T, g *guest.Guest) {
	reader, writer := net.Pipe()
	defer reader.Close()
	p, err := g.Start(guest.Command{Args: []string{"sh", "-c", `trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.1; done`}, Stdout: writer})
	if err != nil {
		t.Fatal(err)
	}
	// The output comes while the command runs.
	word := make([]byte, 6)
	if err := reader.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Read(word); err != nil || string(word) != "ready\n" {
		t.Fatalf("output %q, %v", word, err)
	}
	if err := p.Signal("TERM"); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = reader.Read(word) }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if state, err := p.Wait(ctx); err != nil || state.Code != 7 {
		t.Errorf("code %d, %v; want 7 of the trap", state.Code, err)
	}
}

func testPanic(t *testing.T, g *guest.Guest) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state, err := g.Run(ctx, guest.Command{Args: []string{"sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"}})
	if err == nil || !strings.Contains(err.Error(), "its kernel has ended") || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("%+v, %v; want the end of the kernel and its last words", state, err)
	}
}

// TestNetwork reaches a server in a namespace outside from within the guest.
func TestNetwork(t *testing.T) {
	topology := lab.ForTest(t)
	ns := topology.Namespace("outside")
	g := boot(t, guest.Machine{Network: ns})
	listener, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort(guest.HostAddress+":8080"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	got := run(t, g, "curl --silent --show-error --max-time 30 http://"+guest.HostAddress+":8080/")
	if !strings.HasPrefix(got, guest.GuestAddress+":") {
		t.Errorf("the server saw %q; want %s", got, guest.GuestAddress)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if links, err := ns.Netlink().LinkList(); err != nil || len(links) != 1 {
		t.Errorf("%d links in the namespace, %v; want the loopback alone", len(links), err)
	}
}

// TestDoesNotBoot gives a guest too little memory.
func TestDoesNotBoot(t *testing.T) {
	g, err := guest.Boot(t.Context(), guest.Machine{MemoryMB: 8, BootTimeout: patience})
	if err == nil {
		t.Fatal(g.Close())
	}
	if !strings.Contains(err.Error(), "the end of its console") {
		t.Errorf("%v; want the end of its console", err)
	}
}
