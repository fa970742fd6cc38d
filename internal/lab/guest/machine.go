package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// Machine describes a guest; its zero value is one for tests.
type Machine struct {
	// MemoryMB is the guest's memory in MiB; 0 means 1024. Only what it uses is taken from the machine, and not given
	// back before the guest ends.
	MemoryMB int
	// Modules are loaded at boot, beside those that network tests always need. Most others load when they are first used.
	Modules []string
	// Network, if not nil, is a namespace that the guest is to be connected with: the guest's eth0 has GuestAddress,
	// the namespace HostAddress on a tap device. Without it the guest has no device but its loopback.
	Network *lab.Namespace
	// BootTimeout bounds the time until the guest takes commands; 0 means 2 minutes.
	BootTimeout time.Duration
	// Console receives what the guest's kernel prints; nil means that only the end of it is kept, for errors.
	Console io.Writer
}

// Defaults of Machine.
const (
	defaultMemoryMB    = 1024
	defaultBootTimeout = 2 * time.Minute
)

// baseModules are what network namespaces, and programs that look for features below /proc/sys, expect to be there.
var baseModules = []string{
	"ipv6", "veth", "bridge", "dummy", "nf_conntrack", "nf_conntrack_netlink",
	"iptable_nat", "iptable_filter", "ip6table_nat", "ip6table_filter",
	"ip_vs", "ip_set", "sctp",
}

// kernelNames are what the kernel's program is called: by Debian, and where its alternatives point to.
var kernelNames = []string{"linux.uml", "linux"}

// kernel returns the path of the User Mode Linux kernel, or why this machine cannot boot one.
func kernel() (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("user mode linux runs on amd64 only, this is %s", runtime.GOARCH)
	}
	if os.Geteuid() != 0 {
		return "", errors.New("a guest needs root")
	}
	for _, program := range []string{"modprobe", "mount", "setsid"} {
		if _, err := look(program); err != nil {
			return "", fmt.Errorf("a guest needs %s: %w; `make deps` installs Debian's kmod and util-linux", program, err)
		}
	}
	for _, name := range kernelNames {
		if path, err := look(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s; `make deps` installs Debian's user-mode-linux", strings.Join(kernelNames, " or "))
}

// look is exec.LookPath, also in the directories of administrators.
func look(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, directory := range []string{"/usr/sbin/", "/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(directory + name)
		}
	}
	return path, err
}
