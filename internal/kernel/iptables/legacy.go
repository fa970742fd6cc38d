package iptables

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/model"
)

// legacyTables asks the kernel about the tables of the legacy variant, in the network namespace that it was opened in.
type legacyTables struct {
	sockets map[model.Family]int      // without a family that the node does not have
	names   map[model.Family]*os.File // without one that the kernel has no tables of yet
}

// openLegacyTables never fails: what the kernel does not have is left out.
func openLegacyTables() *legacyTables {
	l := &legacyTables{sockets: map[model.Family]int{}, names: map[model.Family]*os.File{}}
	for f, domain := range map[model.Family]int{model.IPv4: unix.AF_INET, model.IPv6: unix.AF_INET6} {
		if fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err == nil {
			l.sockets[f] = fd
		}
		l.open(f)
	}
	return l
}

// open opens the list of a family's tables, which is not there before the kernel has loaded what they need.
func (l *legacyTables) open(f model.Family) {
	name := map[model.Family]string{model.IPv4: "ip_tables_names", model.IPv6: "ip6_tables_names"}[f]
	// Not /proc/net: that is the namespace of the process's first thread.
	if file, err := os.Open("/proc/thread-self/net/" + name); err == nil {
		l.names[f] = file
	}
}

func (l *legacyTables) close() error {
	var errs []error
	for _, fd := range l.sockets {
		errs = append(errs, unix.Close(fd))
	}
	for _, file := range l.names {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// has reports whether a table exists.
func (l *legacyTables) has(f model.Family, table string) bool {
	if l.names[f] == nil {
		l.open(f)
	}
	file := l.names[f]
	if file == nil {
		return false
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return true // it may
	}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if lines.Text() == table {
			return true
		}
	}
	return lines.Err() != nil
}

// tableInfo is struct ipt_getinfo of linux/netfilter_ipv4/ip_tables.h; that of IPv6 is the same.
type tableInfo struct {
	Name       [32]byte
	ValidHooks uint32
	HookEntry  [5]uint32
	Underflow  [5]uint32
	Entries    uint32
	Size       uint32
}

// info returns what the kernel says of a table; the zero value if there is none.
func (l *legacyTables) info(f model.Family, table string) (tableInfo, error) {
	const getInfo = 64 // IPT_SO_GET_INFO and IP6T_SO_GET_INFO
	fd, ok := l.sockets[f]
	if !ok || !l.has(f, table) {
		return tableInfo{}, nil
	}
	level := unix.SOL_IP
	if f == model.IPv6 {
		level = unix.SOL_IPV6
	}
	var info tableInfo
	copy(info.Name[:], table)
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), getInfo,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	switch errno {
	case 0:
		return info, nil
	case unix.ENOPROTOOPT, unix.ENOENT, unix.EPROTONOSUPPORT:
		return tableInfo{}, nil
	}
	return tableInfo{}, fmt.Errorf("ask the kernel for the size of the %s table %s: %w", f, table, errno)
}

func (l *legacyTables) stamp(f model.Family) (Stamp, error) {
	var s Stamp
	for i, table := range []string{"nat", "filter", "mangle"} {
		info, err := l.info(f, table)
		if err != nil {
			return Stamp{}, err
		}
		h := fnv.New64a()
		fmt.Fprint(h, info)
		s[i] = h.Sum64()
	}
	return s, nil
}

// rules counts what has been added to all tables.
func (l *legacyTables) rules() int {
	// Without any rule, a table has an entry for the policy of each of its chains, and one for its end.
	bare := map[string]int{"nat": 5, "filter": 4, "mangle": 6, "raw": 3, "security": 4}
	n := 0
	for f := range l.sockets {
		for table, entries := range bare {
			if info, err := l.info(f, table); err == nil {
				n += max(int(info.Entries)-entries, 0)
			}
		}
	}
	return n
}
