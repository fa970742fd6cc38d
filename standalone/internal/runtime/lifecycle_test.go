package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestExitCodes(t *testing.T) {
	p := startServer(t, "").run("job", nil)
	for _, tt := range []struct {
		name, script string
		code         int32
		reason       string
	}{
		{"good", "exit 0", 0, "Completed"},
		{"bad", "exit 3", 3, "Error"},
		// The first process of a PID namespace does not die of signals of its own; its child does.
		{"signal", "sh -c 'kill -TERM $$'", 128 + 15, "Error"},
	} {
		s := p.ended(p.start(tt.name, tt.script, nil))
		if s.GetExitCode() != tt.code || s.GetReason() != tt.reason || s.GetFinishedAt() < s.GetStartedAt() || s.GetStartedAt() < s.GetCreatedAt() {
			t.Errorf("%s: %v", tt.name, s)
		}
	}
}

func TestCommandNotFound(t *testing.T) {
	p := startServer(t, "").run("job", nil)
	id, err := p.create("main", "", func(c *cri.ContainerConfig) { c.Command, c.Args = []string{"no-such-program"}, nil })
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: id})
	if err == nil || !strings.Contains(err.Error(), `"no-such-program": executable file not found in $PATH`) {
		t.Errorf("error %v", err)
	}
	if s := p.container(id); s.GetState() != cri.ContainerState_CONTAINER_EXITED || s.GetExitCode() != 128 || s.GetReason() != "StartError" {
		t.Errorf("status %v", s)
	}
}

func TestStopIsGraceful(t *testing.T) {
	p := startServer(t, "").run("web", nil)
	waitFor := func(name string) {
		p.eventually("the trap is set", func() bool { return strings.Contains(p.log(name), "ready") })
	}
	for _, tt := range []struct {
		name, trap string
		signal     cri.Signal
	}{{"term", "TERM", cri.Signal_SIGNAL_RUNTIME_DEFAULT}, {"usr1", "USR1", cri.Signal_SIGNAL_SIGUSR1}} {
		id := p.start(tt.name, "trap 'echo bye; exit 7' "+tt.trap+"; echo ready; while :; do sleep 0.01; done",
			func(c *cri.ContainerConfig) { c.StopSignal = tt.signal })
		waitFor(tt.name)
		if _, err := p.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: id, Timeout: 20}); err != nil {
			t.Fatal(err)
		}
		if s := p.container(id); s.GetExitCode() != 7 {
			t.Errorf("%s: exit code %d, want the trap's 7", tt.name, s.GetExitCode())
		}
		if got := p.log(tt.name); got != "stdout F ready\nstdout F bye\n" {
			t.Errorf("%s: log %q", tt.name, got)
		}
	}
	id := p.start("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.01; done", nil)
	waitFor("stubborn")
	began := time.Now()
	if _, err := p.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: id, Timeout: 1}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("the grace period of 1 s took %v", took)
	}
	if s := p.container(id); s.GetExitCode() != 137 {
		t.Errorf("exit code %d, want 137", s.GetExitCode())
	}
}

func TestNothingOutlivesAContainer(t *testing.T) {
	c := startServer(t, "")
	for _, mode := range []cri.NamespaceMode{cri.NamespaceMode_CONTAINER, cri.NamespaceMode_POD, cri.NamespaceMode_NODE} {
		p := c.run("pod-"+strings.ToLower(mode.String()), func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = mode
		})
		id := p.start("main", "(setsid sleep 987654 &) ; echo ready; exec sleep 1000", nil)
		c.eventually("the background process runs", func() bool { return strings.Contains(p.log("main"), "ready") && len(processes("987654")) == 1 })
		if _, err := p.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: id}); err != nil {
			t.Fatal(err)
		}
		c.eventually(mode.String()+": the background process is gone", func() bool { return len(processes("987654")) == 0 })
	}
}

// processes lists those whose command line holds an argument.
func processes(arg string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains("\x00"+string(text), "\x00"+arg+"\x00") {
			found = append(found, file)
		}
	}
	return found
}

func TestSharedProcessNamespace(t *testing.T) {
	p := startServer(t, "").run("pod", func(c *cri.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
	})
	p.start("one", "exec sleep 987653", nil)
	id := p.start("two", "exec sleep 987652", nil)
	if got := p.exec(id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"); !strings.Contains(got, "987653") || !strings.Contains(got, "987652") {
		t.Errorf("processes in the shared namespace: %s", got)
	}
	// What is orphaned is reaped.
	p.exec(id, "for i in 1 2 3; do (true & ) ; done")
	p.eventually("no zombie is left", func() bool {
		return !strings.Contains(p.exec(id, "grep -h '^State' /proc/[0-9]*/status || true"), "Z (zombie)")
	})
}

func TestLogs(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	long := strings.Repeat("x", 20000)
	id := p.start("main", "echo out; echo err >&2; sleep 0.2; printf '"+long+"\\n'; printf end", nil)
	p.ended(id)
	lines := strings.Split(strings.TrimSuffix(p.log("main"), "\n"), "\n")
	want := []string{"stderr F err", "stdout F out", "stdout P " + long[:16384], "stdout F " + long[16384:], "stdout P end"}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %.200q", len(lines), len(want), lines)
	}
	if lines[0] > lines[1] { // two pipes: either may be read first
		lines[0], lines[1] = lines[1], lines[0]
	}
	for i := range want {
		if lines[i] != want[i] {
			t.Errorf("line %d: %.60q, want %.60q", i, lines[i], want[i])
		}
	}
}

func TestReopenLog(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "echo one; read line; echo two", func(c *cri.ContainerConfig) { c.Stdin = true })
	p.eventually("the first line is logged", func() bool { return p.log("main") == "stdout F one\n" })
	path := filepath.Join(p.config.GetLogDirectory(), "main", "0.log")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ReopenContainerLog(t.Context(), &cri.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	p.attach(id, "go\n")
	p.ended(id)
	if got := p.log("main"); got != "stdout F two\n" {
		t.Errorf("the new log: %q", got)
	}
}
