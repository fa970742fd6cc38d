package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killPatience is how long killed processes may take to disappear before a namespace is unmounted regardless.
const killPatience = 5 * time.Second

// Sweep removes the namespaces of processes that are gone, and kills what still runs in them. Those of living processes,
// of Keep and of other programs are left alone.
func Sweep() error {
	return sweep(func(name string) bool {
		pid, start, ok := owner(name)
		if !ok {
			return false
		}
		now, err := StartTime(pid)
		return err != nil || now != start
	})
}

// Clear removes the namespaces that a lab of Keep has under id, whichever process made them, and kills what runs in them.
func Clear(id string) error {
	return sweep(func(name string) bool { return strings.HasPrefix(name, keptPrefix+id+"-") })
}

// sweep removes the namespaces whose file name matches.
func sweep(matches func(name string) bool) error {
	entries, err := os.ReadDir(Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if matches(entry.Name()) {
			path := Directory + "/" + entry.Name()
			errs = append(errs, killAll(path), unmount(path))
		}
	}
	return errors.Join(errs...)
}

// owner returns the process that the name of a namespace of New carries.
func owner(name string) (pid int, start uint64, ok bool) {
	rest, found := strings.CutPrefix(name, ownedPrefix)
	if !found {
		return 0, 0, false
	}
	parts := strings.SplitN(rest, "-", 3)
	if len(parts) != 3 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	start, err = strconv.ParseUint(parts[1], 10, 64)
	return pid, start, err == nil
}

// StartTime returns when a process started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)): with the
// process id it names a process for as long as the machine is up.
func StartTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the command in parentheses, and may itself hold spaces and parentheses.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest)
	const index = 22 - 3
	if len(fields) <= index {
		return 0, fmt.Errorf("read start time of process %d: %d fields in stat", pid, len(fields))
	}
	return strconv.ParseUint(fields[index], 10, 64)
}

// killAll kills the processes in the namespace mounted on path and waits until they are gone. A file that no namespace
// is mounted on has none.
func killAll(path string) error {
	var target unix.Stat_t
	if err := unix.Stat(path, &target); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("stat network namespace %s: %w", path, err)
	}
	for deadline := time.Now().Add(killPatience); ; time.Sleep(5 * time.Millisecond) {
		pids, err := processesIn(target)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("network namespace %s: processes %v survive SIGKILL", path, pids)
		}
		for _, pid := range pids {
			// An error means that it is gone already.
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// processesIn returns the processes, other than this one, whose main thread is in a network namespace. Zombies are in
// none.
func processesIn(target unix.Stat_t) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var stat unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &stat); err != nil {
			continue
		}
		if stat.Dev == target.Dev && stat.Ino == target.Ino {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
