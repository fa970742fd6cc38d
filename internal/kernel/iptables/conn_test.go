package iptables_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
)

// open opens the iptables of a namespace, with a lock of its own.
func open(t *testing.T, ns *lab.Namespace, lock string, o iptables.Options) *iptables.Conn {
	t.Helper()
	o.Command = func(ctx context.Context, name string, args ...string) *exec.Cmd {
		c := ns.Command(ctx, name, args...)
		c.Env = append(os.Environ(), "XTABLES_LOCKFILE="+lock)
		return c
	}
	var conn *iptables.Conn
	err := ns.Do(func() (err error) {
		conn, err = iptables.Open(t.Context(), o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func variants() []iptables.Variant { return []iptables.Variant{iptables.Legacy, iptables.NFT} }

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// kernel is what Conn and Fake have in common.
type kernel interface {
	Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error
	Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error
	Stamp(ctx context.Context, f model.Family) (iptables.Stamp, error)
}

// rules returns the chains and rules of a family's tables, sorted by chain.
func rules(t *testing.T, k kernel) []string {
	t.Helper()
	var list []string
	for _, table := range []string{"nat", "filter"} {
		byChain := map[string][]string{}
		err := k.Save(t.Context(), model.IPv4, table, func(line []byte) error {
			words := strings.Fields(string(line))
			switch {
			case strings.HasPrefix(words[0], ":"):
				byChain[words[0][1:]] = append(byChain[words[0][1:]], table+" "+words[0])
			case words[0] == "-A":
				byChain[words[1]] = append(byChain[words[1]], string(line))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var chains []string
		for chain := range byChain {
			chains = append(chains, chain)
		}
		slices.Sort(chains)
		for _, chain := range chains {
			list = append(list, byChain[chain]...)
		}
	}
	return list
}

// scripts are what the fake and the real programs must agree on: whether it is refused, and what there is afterwards.
func scripts() []string {
	return []string{
		"*nat\n:A - [0:0]\n:B - [0:0]\n-A A -j B\n-A B -j ACCEPT\n-I PREROUTING -j A\n-I PREROUTING -s 10.0.0.1/32 -g B\nCOMMIT\n",
		"*nat\n:B - [0:0]\n-A B -p tcp -m comment --comment \"-j NOWHERE\" -j DNAT --to-destination 10.0.0.1:80\nCOMMIT\n",
		"*nat\n-A NOT-THERE -j ACCEPT\nCOMMIT\n",
		"*nat\n-A A -g NOT-THERE\nCOMMIT\n",
		"*nat\n:C - [0:0]\n-A C -j RETURN\n-X C\nCOMMIT\n",
		"*nat\n:B - [0:0]\n-X B\nCOMMIT\n",
		"*nat\n-D PREROUTING -j B\nCOMMIT\n",
		"*nat\n:A - [0:0]\n:D - [0:0]\n-A D -j RETURN\n-A A -g D\n",
		"*filter\n:E - [0:0]\n-A E -j DROP\nCOMMIT\n*nat\n-A NOT-THERE -j ACCEPT\nCOMMIT\n",
		"*nat\n:123456789012345678901234567890 - [0:0]\nCOMMIT\n",
		"*nat\n-D PREROUTING -s 10.0.0.1/32 -g B\n:A - [0:0]\n:B - [0:0]\n-X B\nCOMMIT\n",
		"*filter\n:E - [0:0]\n-X E\nCOMMIT\n",
	}
}

// TestFakeBehavesAsTheRealOnes runs the same scripts on all three.
func TestFakeBehavesAsTheRealOnes(t *testing.T) {
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			conn := open(t, lab.ForTest(t).Namespace("node"), filepath.Join(t.TempDir(), "lock"), iptables.Options{Variant: v})
			fake := &iptables.Fake{}
			// The real kernels have the chains of a table from the first look on, the fake from the first change on.
			for _, k := range []kernel{conn, fake} {
				if err := k.Restore(t.Context(), model.IPv4, text("*nat\n-A PREROUTING -j ACCEPT\n-A INPUT -j ACCEPT\n-A OUTPUT -j ACCEPT\n-A POSTROUTING -j ACCEPT\nCOMMIT\n"+
					"*filter\n-A INPUT -j ACCEPT\n-A FORWARD -j ACCEPT\n-A OUTPUT -j ACCEPT\nCOMMIT\n")); err != nil {
					t.Fatal(err)
				}
			}
			for _, script := range scripts() {
				real, faked := conn.Restore(t.Context(), model.IPv4, text(script)), fake.Restore(t.Context(), model.IPv4, text(script))
				if iptables.IsRefused(real) != iptables.IsRefused(faked) {
					t.Errorf("%q:\n%v\nthe fake: %v", script, real, faked)
				}
				if diff := cmp.Diff(rules(t, conn), rules(t, fake)); diff != "" {
					t.Fatalf("%q (-real +fake):\n%s", script, diff)
				}
			}
		})
	}
}

// TestRestoreStopsShort shows that what is not written to its end does not come into force.
func TestRestoreStopsShort(t *testing.T) {
	broken := errors.New("broken")
	for _, v := range variants() {
		conn := open(t, lab.ForTest(t).Namespace("node-"+string(v)), filepath.Join(t.TempDir(), "lock"), iptables.Options{Variant: v})
		err := conn.Restore(t.Context(), model.IPv4, func(w io.Writer) error {
			if _, err := io.WriteString(w, "*nat\n:A - [0:0]\n"); err != nil {
				return err
			}
			return broken
		})
		if err == nil {
			t.Errorf("%s: no error", v)
		}
		if got := strings.Join(rules(t, conn), "\n"); strings.Contains(got, ":A") {
			t.Errorf("%s: half a script is in force:\n%s", v, got)
		}
	}
}

// TestHeldLockIsNamed holds the lock of the legacy variant. The nft variant has none.
func TestHeldLockIsNamed(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	file, err := os.Create(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ns := lab.ForTest(t).Namespace("node")
	script := text("*nat\n:A - [0:0]\nCOMMIT\n")
	conn := open(t, ns, lock, iptables.Options{Variant: iptables.Legacy, Wait: time.Second})
	err = conn.Restore(t.Context(), model.IPv4, script)
	if !iptables.IsLocked(err) || iptables.IsRefused(err) || !strings.Contains(err.Error(), "another program holds the lock of iptables") {
		t.Errorf("legacy: %v; want the lock as the cause", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Restore(t.Context(), model.IPv4, script); err != nil {
		t.Errorf("after the lock is free: %v", err)
	}
}

// TestStampShowsChanges wants another stamp after each change, and the same while nothing happens.
func TestStampShowsChanges(t *testing.T) {
	for _, v := range variants() {
		conn := open(t, lab.ForTest(t).Namespace("node-"+string(v)), filepath.Join(t.TempDir(), "lock"), iptables.Options{Variant: v})
		seen := map[iptables.Stamp]string{}
		for _, script := range []string{
			"", "*nat\n:A - [0:0]\nCOMMIT\n", "*nat\n-A A -j ACCEPT\nCOMMIT\n", "*filter\n:B - [0:0]\nCOMMIT\n", "*nat\n-I PREROUTING -j A\nCOMMIT\n",
		} {
			if script != "" {
				if err := conn.Restore(t.Context(), model.IPv4, text(script)); err != nil {
					t.Fatal(err)
				}
			}
			now, err := conn.Stamp(t.Context(), model.IPv4)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := conn.Stamp(t.Context(), model.IPv4); again != now || err != nil {
				t.Errorf("%s: stamp %v, then %v, %v", v, now, again, err)
			}
			if before, ok := seen[now]; ok {
				t.Errorf("%s: the same stamp after %q and %q", v, before, script)
			}
			seen[now] = script
		}
	}
}

// TestLookingMakesNoTables asks all that there is to ask of the legacy variant in a namespace where nobody uses it.
func TestLookingMakesNoTables(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := open(t, ns, filepath.Join(t.TempDir(), "lock"), iptables.Options{Variant: iptables.Legacy})
	if got := rules(t, conn); len(got) > 0 {
		t.Errorf("rules: %q", got)
	}
	if _, err := conn.Stamp(t.Context(), model.IPv4); err != nil {
		t.Error(err)
	}
	err := ns.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		if len(names) > 0 {
			t.Errorf("tables were made by looking at them: %q", names)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFullLists fills a list of the match recent.
func TestFullLists(t *testing.T) {
	ns := lab.ForTest(t).Namespace("node")
	conn := open(t, ns, filepath.Join(t.TempDir(), "lock"), iptables.Options{Variant: iptables.Legacy})
	rule := "*nat\n:A - [0:0]\n-A A -m recent --set --name %s --mask 255.255.255.255 --rsource\nCOMMIT\n"
	if err := conn.Restore(t.Context(), model.IPv4, text(fmt.Sprintf(rule, "TEST-1"))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ clients, want int }{{iptables.RecentLimit() - 1, 0}, {iptables.RecentLimit(), 1}} {
		for i := range step.clients {
			err := ns.Do(func() error {
				return os.WriteFile("/proc/thread-self/net/xt_recent/TEST-1", fmt.Appendf(nil, "+10.0.%d.%d", i>>8, i&255), 0)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if full, err := conn.FullLists("TEST-"); full != step.want || err != nil {
			t.Errorf("%d clients: %d lists are full, %v; want %d", step.clients, full, err, step.want)
		}
	}
	if full, err := conn.FullLists("OTHER-"); full != 0 || err != nil {
		t.Errorf("OTHER-: %d, %v", full, err)
	}
}
