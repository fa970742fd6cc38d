package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProcessorTimeCountsChildren(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	script := `sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done'; touch ` + ready + `; sleep 60`
	p, err := Start(exec.Command("sh", "-c", script), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the script's child has not ended after 30s")
		}
	}
	used, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if used < 10*time.Millisecond || used > 20*time.Second {
		t.Errorf("processor time %s, want that of a child that counts to 100,000", used)
	}
	if rss, err := p.Memory("VmRSS"); err != nil || rss < 100<<10 {
		t.Errorf("resident memory %d, %v, want at least 100 KiB", rss, err)
	}
	if err := p.Exited(); err != nil {
		t.Errorf("exited while it sleeps: %v", err)
	}
}

func TestExitedShowsTheLog(t *testing.T) {
	p, err := Start(exec.Command("sh", "-c", "echo why; exit 3"), filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if err := p.Exited(); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("error %v, want one with the end of the log", err)
	}
}
