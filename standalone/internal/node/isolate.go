package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// podLogs is where the kubelet keeps the logs of pods. /var/log is the node's own, see isolate.
const podLogs = "/var/log/pods"

// reapInterval is how long an orphan stays a zombie, at least; at most twice as long.
const reapInterval = 2 * time.Second

// isolate finishes what the supervisor began when it gave the process PID, mount and host name spaces of its own: mounts
// made from now on are seen by this node only, /proc shows its processes, and /var/log, where the kubelet writes under
// fixed names, is a directory of its own. Names are resolved as the file resolver says.
func isolate(name, dir, resolver string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("node %s: not started by the supervisor, which would have made it the first process of its own PID namespace", name)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the node's mounts from the host's: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount the node's /proc: %w", err)
	}
	logs := filepath.Join(dir, "log")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(logs, "/var/log", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the node's /var/log: %w", err)
	}
	// The host's may be a link to a file that does not exist: then nothing here resolves anything, and nothing needs to.
	if err := unix.Mount(resolver, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mount the node's /etc/resolv.conf: %w", err)
	}
	return unix.Sethostname([]byte(name))
}

// reapOrphans collects the processes whose parents ended before them, which the kernel hands to the first process of a
// PID namespace. A child of our own is collected by whoever started it, promptly; so what is still a zombie after a full
// interval is an orphan.
func reapOrphans(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	before := map[int]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := zombieChildren()
		for pid := range now {
			if !before[pid] {
				continue
			}
			if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil {
				log.Debug("collected an orphan", "pid", pid)
			}
		}
		before = now
	}
}

// zombieChildren returns the children of this process that have ended and were not collected.
func zombieChildren() map[int]bool {
	zombies := map[int]bool{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return zombies
	}
	own := strconv.Itoa(os.Getpid())
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		// After the command in parentheses: state, then the parent's id (proc(5)).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[0] == "Z" && fields[1] == own {
			zombies[pid] = true
		}
	}
	return zombies
}
