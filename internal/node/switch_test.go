package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
)

// patience is how long a test waits for what takes a moment, and pause the time between two looks.
const (
	patience = 3 * time.Minute
	pause    = 200 * time.Millisecond
)

// tour is a node that goes from mode to mode, and a client that connects through it all the time.
type tour struct {
	*testing.T
	node, client *lab.Namespace
	stream       *stream
	useless      map[string]bool // commands that fail on this kernel
}

// TestSwitchingModes goes every way from one mode to another that this kernel has. (The variants of iptables are one mode:
// which one it is, the system decides.)
func TestSwitchingModes(t *testing.T) {
	n, u := kind{mode: config.ModeNFTables}, kind{mode: config.ModeUserspace}
	legacy, nft := kind{config.ModeIPTables, iptables.Legacy}, kind{config.ModeIPTables, iptables.NFT}
	newTour(t).take(n, legacy, n, nft, n, u, legacy, u, nft, u, n)
}

// TestSwitchingToAndFromIPVS does it where there is IPVS, and no nftables.
func TestSwitchingToAndFromIPVS(t *testing.T) {
	guesttest.Run(t, guest.Machine{}, func(t *testing.T) {
		legacy := kind{config.ModeIPTables, iptables.Legacy}
		newTour(t).take(legacy, kind{mode: config.ModeIPVS}, legacy)
	})
}

// newTour builds the network: a client and an endpoint on both sides of a node.
func newTour(t *testing.T) *tour {
	l := lab.ForTest(t)
	front, back := l.LAN("front"), l.LAN("back")
	tour := &tour{T: t, useless: map[string]bool{}, node: l.Host(back, "node", "192.0.2.11/24"), client: l.Host(front, "client", "198.51.100.2/24")}
	l.Must(front.Join(tour.node, "eth1", netip.MustParsePrefix("198.51.100.1/24")))
	l.Must(tour.node.SetSysctl("net.ipv4.ip_forward", "1"))
	l.Must(tour.client.AddDefaultRoute(netip.MustParseAddr("198.51.100.1")))
	pod := l.Host(back, "pod", "192.0.2.50/24", "192.0.2.51/24")
	l.Must(pod.AddDefaultRoute(netip.MustParseAddr("192.0.2.11")))
	echo(t, pod)
	return tour
}

// echo sends back what it receives, on the endpoint of the cluster.
func echo(t *testing.T, ns *lab.Namespace) {
	t.Helper()
	listener, err := ns.Listen(t.Context(), "tcp", netip.MustParseAddrPort("0.0.0.0:8080"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

// take goes through the kinds, and checks at each change that no connection was lost and nothing of before is left.
func (t *tour) take(first kind, others ...kind) {
	t.Helper()
	node := t.start(first)
	t.reach()
	t.only(first)
	t.stream = t.newStream()
	before := first
	for _, next := range others {
		t.Log("from", before, "to", next)
		held := t.connect()
		// See retireIPVS and ipvs.Deps.TakeOver: new connections may fail until the first Sync has ended.
		t.stream.forgive(before.mode == config.ModeIPVS || next.mode == config.ModeIPVS)
		if err := node.signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		former := node
		node = t.start(next)
		t.eventually("the rules of "+next.String(), func() error {
			if !slices.Contains(t.present(), next.String()) {
				return errors.New("they are not there")
			}
			return t.once()
		})
		t.stream.forgive(false)
		if before.mode == config.ModeIPVS || before.mode == config.ModeUserspace {
			t.eventually("word that the connection is waited for", func() error {
				if out := node.output.String(); !strings.Contains(out, "mode="+before.String()+" connections=") {
					return fmt.Errorf("output:\n%s", out)
				}
				return nil
			})
		} else {
			t.only(next)
		}
		if err := errors.Join(exchange(held), held.Close()); err != nil {
			t.Errorf("from %s to %s: the connection of before: %v", before, next, err)
		}
		if err := <-former.exited; err != nil {
			t.Errorf("end of the %s mode: %v\n%s", before, err, former.output)
		}
		t.only(next)
		before = next
	}
	if err := t.stream.stop(); err != nil {
		t.Errorf("new connections: %v", err)
	}
	if err := node.stop(); err != nil {
		t.Errorf("end of the %s mode: %v\n%s", before, err, node.output)
	}
	t.only(before)
	for _, want := range [][]string{{"the rules of the " + before.String() + " mode"}, nil} {
		t.cleanUp(want)
		if found := t.present(); found != nil {
			t.Errorf("after the cleanup there are %v", found)
		}
	}
}

// cleanUp does what `switchyard cleanup` does, which must remove just that.
func (t *tour) cleanUp(want []string) {
	t.Helper()
	err := t.node.Do(func() error {
		removed, err := CleanUp(context.Background(), slog.New(slog.DiscardHandler))
		if diff := cmp.Diff(want, removed); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Errorf("cleanup: %v", err)
	}
}

// TestCleanUpOfACleanNamespaceMakesNothing: to look at a table of legacy iptables makes it.
func TestCleanUpOfACleanNamespaceMakesNothing(t *testing.T) {
	tour := &tour{T: t, node: lab.ForTest(t).Namespace("node"), useless: map[string]bool{}}
	tour.cleanUp(nil)
	err := tour.node.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		if len(names) > 0 {
			t.Errorf("legacy tables %q were made by looking at them", names)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// start starts a node in a mode. Which variant of iptables the system uses, its programs say.
func (t *tour) start(k kind) *process {
	t.Helper()
	path := os.Getenv("PATH")
	if k.variant != "" {
		path = t.programs(k.variant) + ":" + path
	}
	return startNode(t.T, t.node, "mode="+k.mode, "PATH="+path)
}

// programs returns a directory whose iptables is that of a variant.
func (t *tour) programs(v iptables.Variant) string {
	t.Helper()
	dir := t.TempDir()
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			if err := os.Symlink("/usr/sbin/xtables-"+string(v)+"-multi", filepath.Join(dir, family+suffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// only waits until the rules of a kind are there, and no others.
func (t *tour) only(k kind) {
	t.Helper()
	t.eventually("only the rules of "+k.String(), func() error {
		if diff := cmp.Diff([]string{k.String()}, t.present()); diff != "" {
			return fmt.Errorf("there are (-want +got):\n%s", diff)
		}
		return nil
	})
}

// mark is a word in the output of a command by which the rules of a kind are known.
type mark struct{ kind, command, word string }

func marks() []mark {
	return []mark{
		{"iptables (legacy)", "iptables-legacy-save", "SWITCHYARD-SERVICES"},
		{"iptables (legacy)", "ip6tables-legacy-save", "SWITCHYARD-SERVICES"},
		{"iptables (nft)", "iptables-nft-save", "SWITCHYARD-SERVICES"},
		{"iptables (nft)", "ip6tables-nft-save", "SWITCHYARD-SERVICES"},
		{"ipvs", "iptables-legacy-save", "SWITCHYARD-IPVS"},
		{"ipvs", "ipset list -name", "switchyard-"},
		{"ipvs", "ipvsadm --save --numeric", "-A "},
		{"nftables", "nft list tables", "ip switchyard\n"},
		{"nftables", "nft list tables", "ip6 switchyard\n"},
		{"userspace", "nft list tables", "switchyard-userspace"},
		{"userspace", "ip rule", "10264"},
		{"userspace", "ip route show table all", "10264"},
	}
}

// present returns the kinds that the node's kernel has anything of.
func (t *tour) present() []string {
	t.Helper()
	outputs := map[string]string{}
	var found []string
	for _, m := range marks() {
		out, known := outputs[m.command]
		if !known && !t.useless[m.command] {
			args := strings.Fields(m.command)
			text, err := t.node.Command(context.Background(), args[0], args[1:]...).Output()
			if err != nil {
				t.useless[m.command] = true // the kernel does not have what it lists
			}
			out = string(text)
			outputs[m.command] = out
		}
		if strings.Contains(out, m.word) && !slices.Contains(found, m.kind) {
			found = append(found, m.kind)
		}
	}
	return found
}

func (t *tour) eventually(what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pause) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %s: %v", what, patience, err)
}

// reach waits until the Service answers.
func (t *tour) reach() {
	t.Helper()
	t.eventually("an answer", func() error { return t.once() })
}

// dial connects to the Service.
func (t *tour) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := t.client.Dial(ctx, "tcp", netip.MustParseAddrPort("10.96.0.80:80"))
	if err != nil {
		return nil, err
	}
	// Its end is a reset, of which IPVS keeps no memory for minutes.
	return conn, conn.(*net.TCPConn).SetLinger(0)
}

func (t *tour) connect() net.Conn {
	t.Helper()
	conn, err := t.dial()
	if err == nil {
		err = exchange(conn)
	}
	if err != nil {
		t.Fatalf("open a connection to hold: %v", err)
	}
	return conn
}

// once makes one connection.
func (t *tour) once() error {
	conn, err := t.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchange(conn)
}

// exchange sends something and expects it back.
func exchange(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, answer)
	return err
}

// stream makes one connection after the other.
type stream struct {
	end  chan struct{}
	done sync.WaitGroup

	count     int
	err       error // the first that counts
	forgiving atomic.Bool
}

// forgive says whether connections that fail from now on are no failure.
func (s *stream) forgive(yes bool) { s.forgiving.Store(yes) }

func (t *tour) newStream() *stream {
	s := &stream{end: make(chan struct{})}
	s.done.Go(func() {
		for {
			select {
			case <-s.end:
				return
			case <-time.After(5 * time.Millisecond): // the node needs time too, in a guest of one processor
			}
			s.count++
			forgiven := s.forgiving.Load()
			if err := t.once(); err != nil && !forgiven && s.err == nil {
				s.err = fmt.Errorf("number %d: %w", s.count, err)
			}
		}
	})
	return s
}

// stop ends the stream and returns its first failure.
func (s *stream) stop() error {
	close(s.end)
	s.done.Wait()
	return s.err
}
