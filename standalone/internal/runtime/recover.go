package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The directories below Config.Root, each with one directory a sandbox or container in it.
const (
	sandboxesDir  = "sandboxes"
	containersDir = "containers"
)

// processFile holds the identity of a container's first process in the container's directory.
const processFile = "process"

// clearState removes what a runtime that was killed left in root. Its containers should be dead: they have a
// parent-death signal. One that lives nevertheless is killed. Its namespaces, mounts and interfaces ended with them.
func clearState(root string, log *slog.Logger) error {
	files, err := filepath.Glob(filepath.Join(root, "*", "*", processFile))
	if err != nil {
		return fmt.Errorf("look for an earlier runtime's containers: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("look for an earlier runtime's containers: %w", err)
		}
		if pid, ok := alive(string(text)); ok {
			log.Warn("kill a container that outlived its runtime", "process", pid, "state", filepath.Dir(file))
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d of an earlier runtime: %w", pid, err)
			}
		}
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

// identify writes down which process pid is; the number alone may mean another one later.
func identify(pid int) (string, error) {
	start, err := startTime(pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %s\n", pid, start), nil
}

// alive reports whether the process that identify described still runs.
func alive(identity string) (int, bool) {
	fields := strings.Fields(identity)
	if len(fields) != 2 {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0, false
	}
	start, err := startTime(pid)
	return pid, err == nil && start == fields[1]
}

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot.
func startTime(pid int) (string, error) {
	fields, err := statFields(pid)
	if err != nil {
		return "", err
	}
	return fields[19], nil
}

// statFields are the fields of /proc/PID/stat from the third, the state, on (proc_pid_stat(5)).
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	end := strings.LastIndexByte(string(text), ')') // the name may hold anything
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 22 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}
