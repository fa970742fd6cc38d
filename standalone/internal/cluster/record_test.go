package cluster

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
)

func TestAProcessIsKnownByItsStart(t *testing.T) {
	start, err := lab.StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if own := (Process{PID: os.Getpid(), Start: start}); !own.Alive() {
		t.Error("this process is said to be dead")
	}
	if other := (Process{PID: os.Getpid(), Start: start + 1}); other.Alive() {
		t.Error("a process that had our id before us is said to be alive")
	}
}

func TestAZombieIsDead(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, err := lab.StartTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := Process{PID: cmd.Process.Pid, Start: start}
	if !p.Alive() {
		t.Error("a sleeping process is said to be dead")
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if left := await([]Process{p}, killPatience); len(left) > 0 {
		t.Errorf("killed and not collected, but said to be alive: %v", left)
	}
	// The exit status is that of the kill.
	_ = cmd.Wait()
}

func TestRecorderCountsRestarts(t *testing.T) {
	spec := &Spec{DataDir: t.TempDir(), Nodes: 1}
	if err := os.MkdirAll(spec.Run(), 0o755); err != nil {
		t.Fatal(err)
	}
	if list, err := spec.Processes(); err != nil || list != nil {
		t.Errorf("before anything ran: %v, %v", list, err)
	}
	record := &recorder{file: spec.processesFile()}
	for _, name := range []string{supervisorName, "node-1", "node-1", "node-1"} {
		if err := record.started(name, os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := spec.Processes()
	if err != nil || len(list) != 2 || list[1].Name != "node-1" || list[1].Restarts != 2 {
		t.Errorf("records: %+v, %v; want two, node-1 with two restarts", list, err)
	}
	if running, err := spec.Running(); err != nil || !running {
		t.Errorf("running: %v, %v", running, err)
	}
}

func TestOnlyOneMayStartOrStop(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err == nil {
		t.Error("locked twice")
	}
	release()
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("locked although it was released: %v", err)
	}
	again()
}
