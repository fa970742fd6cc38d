package conntrack

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/sysctl"
)

// maxEntries caps what is derived from the number of CPUs, as kube-proxy does
// (pkg/proxy/conntrack/sysctls.go, getConntrackMax).
const maxEntries = 1 << 20

// Limits are the settings of connection tracking that a node's Service proxy is responsible for. A zero field leaves the
// kernel's setting as it is.
type Limits struct {
	// MaxPerCore is the number of entries per CPU of the machine; Min is the least number of entries in all, and not
	// used where MaxPerCore is 0.
	MaxPerCore, Min int
	// The timeouts are in the kernel's whole seconds.
	TCPEstablishedTimeout, TCPCloseWaitTimeout time.Duration
	UDPTimeout, UDPStreamTimeout               time.Duration
	// TCPBeLiberal makes the kernel track out-of-window packets instead of calling them INVALID.
	TCPBeLiberal bool
}

// Max returns the number of entries that the limits ask for on a machine with so many CPUs; 0: leave it.
func (l Limits) Max(cpus int) int {
	if l.MaxPerCore <= 0 {
		return 0
	}
	if scaled := l.MaxPerCore * cpus; scaled <= maxEntries {
		return max(scaled, l.Min)
	}
	return maxEntries
}

// Kernel is where Apply writes.
type Kernel struct {
	Sysctl sysctl.Tree
	// HashSize is the file of the number of hash buckets, which are the machine's and not a namespace's.
	HashSize string
	// CPUs is the number of CPUs of the machine.
	CPUs int
}

// ThisMachine returns the kernel that the process runs on.
func ThisMachine() Kernel {
	return Kernel{HashSize: "/sys/module/nf_conntrack/parameters/hashsize", CPUs: onlineCPUs()}
}

// Apply sets what the limits ask for. It goes on after an error: the error joins one for each setting that could not be
// set, each with the setting's name.
func (l Limits) Apply(k Kernel) error {
	var errs []error
	if n := l.Max(k.CPUs); n > 0 {
		errs = append(errs, k.raiseMax(n))
	}
	for _, s := range []struct {
		name  string
		value int
	}{
		{"tcp_timeout_established", seconds(l.TCPEstablishedTimeout)},
		{"tcp_timeout_close_wait", seconds(l.TCPCloseWaitTimeout)},
		{"udp_timeout", seconds(l.UDPTimeout)},
		{"udp_timeout_stream", seconds(l.UDPStreamTimeout)},
		{"tcp_be_liberal", liberal(l.TCPBeLiberal)},
	} {
		if s.value > 0 {
			errs = append(errs, k.Sysctl.SetInt("net.netfilter.nf_conntrack_"+s.name, s.value))
		}
	}
	return errors.Join(errs...)
}

// raiseMax makes room for n entries and a quarter as many hash buckets; it never lowers what is there. A process in a
// network namespace of its own may not: the machine's settings are then left alone.
func (k Kernel) raiseMax(n int) error {
	const key = "net.netfilter.nf_conntrack_max"
	now, err := k.Sysctl.Int(key)
	enough := err == nil && now >= n
	switch {
	case enough && !k.Sysctl.Writable(key):
		return nil
	case enough:
		return k.raiseHashSize(n / 4)
	case !k.Sysctl.Writable(key):
		return fmt.Errorf("set sysctl %s to %d: it is missing, or is the machine's and read-only in this network namespace", key, n)
	}
	if err := k.Sysctl.SetInt(key, n); err != nil {
		return err
	}
	return k.raiseHashSize(n / 4)
}

func (k Kernel) raiseHashSize(buckets int) error {
	text, err := os.ReadFile(k.HashSize)
	if err != nil {
		return fmt.Errorf("read the hash size of connection tracking: %w", err)
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now >= buckets {
		return nil
	}
	if err := os.WriteFile(k.HashSize, []byte(strconv.Itoa(buckets)), 0o600); err != nil {
		return fmt.Errorf("set the hash size of connection tracking to %d: %w", buckets, err)
	}
	return nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }

func liberal(on bool) int {
	if on {
		return 1
	}
	return 0
}

// onlineCPUs returns the number of CPUs of the machine, which may be more than this process may run on
// (Documentation/admin-guide/cputopology.rst).
func onlineCPUs() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return runtime.NumCPU()
	}
	if n := countList(strings.TrimSpace(string(text))); n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// countList returns how many numbers a list like "0-3,8" names; 0: it is not such a list.
func countList(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			return 0
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil || last < first {
				return 0
			}
		}
		n += last - first + 1
	}
	return n
}
