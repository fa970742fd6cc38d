package runtime

import (
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

// The directories below Config.Root, each with one directory a sandbox or container in it.
const (
	sandboxesDir  = "sandboxes"
	containersDir = "containers"
)

// clearState removes what a runtime that was killed left in root. Its containers should be dead: they have a
// parent-death signal. What lives nevertheless (children of a container in the node's PID namespace) is killed. The
// namespaces, mounts and interfaces ended with the processes.
func clearState(root string, log *slog.Logger) error {
	containers, err := os.ReadDir(filepath.Join(root, containersDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for an earlier runtime's containers: %w", err)
	}
	if len(containers) > 0 {
		// All of root's at once: one walk through the processes is enough.
		killInside(filepath.Join(root, containersDir)+"/", log)
	}
	for _, dir := range []string{sandboxesDir, containersDir} {
		if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
			return fmt.Errorf("remove an earlier runtime's state: %w", err)
		}
		if err := os.MkdirAll(filepath.Join(root, dir), 0o711); err != nil {
			return fmt.Errorf("make the runtime's state: %w", err)
		}
	}
	return nil
}

// killInside kills every process whose root file system is an overlay with its upper layer below dir. It repeats that
// until there is none, as what is killed may have just forked.
func killInside(dir string, log *slog.Logger) {
	for pids := inside(dir); len(pids) > 0; pids = inside(dir) {
		for _, pid := range pids {
			log.Debug("kill what a container left", "process", pid, "state", dir)
			_ = unix.Kill(pid, unix.SIGKILL) // gone already is as good
		}
		time.Sleep(time.Millisecond) // the kernel needs time to end them
	}
}

// inside lists the processes of killInside, whatever namespaces they are in. A dead one has no mounts.
func inside(dir string) []int {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	upper := "upperdir=" + escapeMountInfo(dir)
	var pids []int
	for _, proc := range procs {
		text, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
		if err != nil || !strings.Contains(string(text), upper) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// escapeMountInfo writes a path as the kernel does in a mount's options.
func escapeMountInfo(path string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(path)
}
