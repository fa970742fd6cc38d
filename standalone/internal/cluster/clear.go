package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// downPatience is how long the supervisor may take to stop everything in order before it is killed.
const downPatience = 2*stopGrace + 5*time.Second

// killPatience is how long killed processes may take to be gone.
const killPatience = 5 * time.Second

// Clear stops what runs of the cluster, in order if its supervisor is alive, and removes everything that is not data:
// processes, namespaces, mounts, the nodes' directories. It is idempotent, and clears after a crash too.
func Clear(spec *Spec) error {
	processes, err := spec.Processes()
	if err != nil {
		return err
	}
	stray, err := strays(spec.DataDir)
	if err != nil {
		return err
	}
	processes = append(processes, stray...)
	for _, p := range processes {
		if p.Name == supervisorName {
			p.signal(unix.SIGTERM)
			await([]Process{p}, downPatience)
			p.signal(unix.SIGKILL)
		}
	}
	// The supervisor's end takes the others with it (Pdeathsig): these are what a crash in between may have left.
	for _, p := range processes {
		p.signal(unix.SIGKILL)
	}
	if left := await(processes, killPatience); len(left) > 0 {
		return fmt.Errorf("processes %v survive SIGKILL", left)
	}
	if err := errors.Join(unexpose(spec), lab.Clear(ID(spec.DataDir))); err != nil {
		return err
	}
	if err := unmountBelow(spec.DataDir); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(spec.Run()), os.RemoveAll(filepath.Join(spec.DataDir, "nodes")))
}

// strays returns the supervisors of a data directory by their command lines: one whose record went with the directory's
// files is found by nothing else.
func strays(dataDir string) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	arguments := strings.Join(supervisorArgs(dataDir), "\x00") + "\x00"
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		command, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err != nil {
			continue
		}
		if _, args, _ := strings.Cut(string(command), "\x00"); args != arguments {
			continue
		}
		if start, err := lab.StartTime(pid); err == nil {
			found = append(found, Process{Name: supervisorName, PID: pid, Start: start})
		}
	}
	return found, nil
}

// Purge removes the data of a cluster that was cleared, and its directory if nothing else is in it.
func Purge(spec *Spec) error {
	var errs []error
	for _, path := range []string{spec.Etcd(), spec.PKI(), spec.Logs(), spec.Kubeconfig(), specFile(spec.DataDir), lockFile(spec.DataDir)} {
		errs = append(errs, os.RemoveAll(path))
	}
	if err := os.Remove(spec.DataDir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// await waits until the processes have ended, and returns those that have not in time.
func await(processes []Process, patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		var alive []string
		for _, p := range processes {
			if p.Alive() {
				alive = append(alive, fmt.Sprintf("%s (%d)", p.Name, p.PID))
			}
		}
		if len(alive) == 0 || time.Now().After(deadline) {
			return alive
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// unmountBelow removes the mounts below a directory in this mount namespace, the innermost first. (The nodes mount in
// namespaces of their own, so there are none unless a user made some.)
func unmountBelow(dir string) error {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer file.Close()
	var points []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// lockFile is held while a cluster is started or stopped.
func lockFile(dataDir string) string { return filepath.Join(dataDir, "lock") }

// Lock keeps other processes from starting or stopping the cluster in a directory, until release is called.
func Lock(dataDir string) (release func(), err error) {
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(lockFile(dataDir), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: another up or down is at work in it; wait for its end", dataDir), file.Close())
	}
	return func() { file.Close() }, nil
}
