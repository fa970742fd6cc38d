package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// supervisorName is the name of the supervisor among the cluster's processes.
const supervisorName = "supervisor"

// Process is a process of the cluster, as it is recorded on disk. PID and Start together name it for as long as the
// machine is up, so that another process which has got its id is never taken for it.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Start is in clock ticks since boot (proc(5), field 22 of stat).
	Start uint64 `json:"start"`
	// Since is when it was started.
	Since time.Time `json:"since"`
	// Restarts is how often it was started again since the cluster was.
	Restarts int `json:"restarts"`
}

// Alive reports whether the process still runs.
func (p Process) Alive() bool {
	start, err := lab.StartTime(p.PID)
	return err == nil && start == p.Start && !zombie(p.PID)
}

// zombie reports whether a process has ended and waits to be collected.
func zombie(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	for i := len(state) - 1; i >= 0; i-- {
		if state[i] == ')' {
			return i+2 < len(state) && state[i+2] == 'Z'
		}
	}
	return false
}

// signal sends a signal to the process if it is still that process.
func (p Process) signal(s unix.Signal) {
	if p.Alive() {
		// An error means that it has gone in between.
		_ = unix.Kill(p.PID, s)
	}
}

// processesFile is where the records are kept.
func (s *Spec) processesFile() string { return filepath.Join(s.Run(), "processes.json") }

// Processes returns the recorded processes, the supervisor first. A cluster that was stopped has none.
func (s *Spec) Processes() ([]Process, error) {
	data, err := os.ReadFile(s.processesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var processes []Process
	if err := json.Unmarshal(data, &processes); err != nil {
		return nil, fmt.Errorf("parse %s: %w", s.processesFile(), err)
	}
	return processes, nil
}

// Running reports whether the cluster's supervisor is alive.
func (s *Spec) Running() (bool, error) {
	processes, err := s.Processes()
	if err != nil {
		return false, err
	}
	for _, p := range processes {
		if p.Name == supervisorName && p.Alive() {
			return true, nil
		}
	}
	return false, nil
}

// recorder keeps the records on disk equal to what runs.
type recorder struct {
	file string

	mu        sync.Mutex
	processes []Process // guarded by mu
}

// started records that a process has been started, for the first time or again.
func (r *recorder) started(name string, pid int) error {
	start, err := lab.StartTime(pid)
	if err != nil {
		return fmt.Errorf("identify process %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := Process{Name: name, PID: pid, Start: start, Since: time.Now().Round(time.Millisecond)}
	for i, p := range r.processes {
		if p.Name == name {
			now.Restarts = p.Restarts + 1
			r.processes[i] = now
			return writeJSON(r.file, r.processes)
		}
	}
	r.processes = append(r.processes, now)
	return writeJSON(r.file, r.processes)
}
