package runtime

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// capabilityNames are those of capabilities(7) without CAP_, by number.
func capabilityNames() []string {
	return []string{
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
		"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
		"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
		"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
		"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
		"CHECKPOINT_RESTORE",
	}
}

// defaultCapabilities are those that containerd and Docker give.
const defaultCapabilities uint64 = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP |
	1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE

// allCapabilities is every bit: those that the node lacks stay lacking.
const allCapabilities = ^uint64(0)

// capabilitySet is what a container may have. A name wins over ALL; of the same name, drop wins over add.
func capabilitySet(security *cri.LinuxContainerSecurityContext) (uint64, error) {
	if security.GetPrivileged() {
		return allCapabilities, nil
	}
	add, addAll, err := parseCapabilities(security.GetCapabilities().GetAddCapabilities())
	if err != nil {
		return 0, fmt.Errorf("add capabilities: %w", err)
	}
	drop, dropAll, err := parseCapabilities(security.GetCapabilities().GetDropCapabilities())
	if err != nil {
		return 0, fmt.Errorf("drop capabilities: %w", err)
	}
	set := defaultCapabilities
	if addAll {
		set = allCapabilities
	}
	if dropAll {
		set = 0
	}
	return (set | add) &^ drop, nil
}

func parseCapabilities(names []string) (set uint64, all bool, err error) {
	for _, name := range names {
		upper := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if upper == "ALL" {
			all = true
			continue
		}
		bit := -1
		for i, known := range capabilityNames() {
			if known == upper {
				bit = i
			}
		}
		if bit < 0 {
			return 0, false, fmt.Errorf("%q is not the name of a capability", name)
		}
		set |= 1 << bit
	}
	return set, all, nil
}
