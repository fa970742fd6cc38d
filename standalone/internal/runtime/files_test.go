package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestHostFilesAreNotTouched(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	dir, err := os.MkdirTemp("", "host-files-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := p.start("main", "exec sleep 1000", mount(dir, "/no/such/place", false))
	if got := p.exec(id, "cat "+file+"; echo pod > "+file+"; cat "+file+"; echo new > /etc/new-in-pod; rm /etc/passwd; ls /no/such/place"); got != "host\npod\nfile" {
		t.Errorf("in the pod: %q", got)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "host\n" {
		t.Errorf("the host's file: %q, %v", text, err)
	}
	for path, want := range map[string]bool{"/etc/new-in-pod": false, "/no/such/place": false, "/etc/passwd": true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s on the host: %v", path, err)
		}
	}
	if text, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(text), "merged") {
		t.Errorf("the pod's mounts are seen by the node: %v", err)
	}
}

func TestMounts(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	outer, inner := t.TempDir(), t.TempDir()
	hosts := filepath.Join(outer, "hosts")
	if err := os.WriteFile(hosts, []byte("10.1.2.3 elsewhere\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(outer, "made", "by", "the", "runtime")
	id := p.start("main", "exec sleep 1000", func(c *cri.ContainerConfig) {
		// The inner mount comes first and must end up inside the outer one.
		mount(inner, "/data/inner", true)(c)
		mount(outer, "/data", false)(c)
		mount(hosts, "/etc/hosts", false)(c)
		mount(missing, "/made", false)(c)
	})
	if got := p.exec(id, "cat /etc/hosts; echo here > /data/here; touch /data/inner/x 2>&1 || echo refused; touch /made/y"); !strings.HasPrefix(got, "10.1.2.3 elsewhere\n") || !strings.HasSuffix(got, "refused") {
		t.Errorf("in the pod: %q", got)
	}
	if text, err := os.ReadFile(filepath.Join(outer, "here")); err != nil || string(text) != "here\n" {
		t.Errorf("the volume: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(missing, "y")); err != nil {
		t.Errorf("the hostPath that did not exist: %v", err)
	}
}

func TestSharedMemory(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	one, two := p.start("one", "exec sleep 1000", nil), p.start("two", "exec sleep 1000", nil)
	p.exec(one, "echo shared > /dev/shm/x")
	if got := p.exec(two, "cat /dev/shm/x"); got != "shared" {
		t.Errorf("/dev/shm of the other container: %q", got)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "exec sleep 1000", func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.ReadonlyRootfs = true
		mount(t.TempDir(), "/data", false)(c)
	})
	if got := p.exec(id, "touch /x 2>/dev/null || echo refused; touch /data/x && echo written; echo > /dev/null && echo device"); got != "refused\nwritten\ndevice" {
		t.Errorf("in the pod: %q", got)
	}
}

func TestKernelIsProtected(t *testing.T) {
	p := startServer(t, "").run("pod", nil)
	id := p.start("main", "exec sleep 1000", func(c *cri.ContainerConfig) {
		// The kubelet sends such lists for every container that is not privileged.
		c.Linux.SecurityContext.MaskedPaths = []string{"/proc/uptime", "/proc/acpi", "/proc/no-such-file"}
		c.Linux.SecurityContext.ReadonlyPaths = []string{"/proc/sys"}
	})
	if got := p.exec(id, "echo 1 2>/dev/null > /proc/sys/vm/swappiness || echo refused; wc -c < /proc/uptime; touch /sys/x 2>/dev/null || echo refused; ls /run"); got != "refused\n0\nrefused\nlock" {
		t.Errorf("in the pod: %q", got)
	}
}

func TestStateIsHidden(t *testing.T) {
	c := startServer(t, "")
	p := c.run("pod", nil)
	id := p.start("main", "exec sleep 1000", nil)
	status, err := c.ContainerStatus(t.Context(), &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(status.GetInfo()["info"], `"directory":"`)
	dir, _, _ := strings.Cut(after, `"`)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if got := p.exec(id, "ls "+dir+" 2>/dev/null || echo hidden"); got != "hidden" {
		t.Errorf("the runtime's state in the pod: %q", got)
	}
}

func TestNamedRoot(t *testing.T) {
	root := t.TempDir()
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin", "etc"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("app:x:1234:99::/home/app:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	table := "team/app:\n  root: " + root + "\n  command: [sh, -c]\n  args: ['echo $HOME $MODE; ls /; exec /bin/sleep 1000']\n  env: {MODE: test}\n"
	p := startServer(t, table).run("pod", nil)
	id, err := p.create("main", "", func(c *cri.ContainerConfig) {
		c.Image = &cri.ImageSpec{Image: "process:example.com/team/app:v3", UserSpecifiedImage: "example.com/team/app:v3"}
		c.Command, c.Args = nil, nil
		c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1234}
		// The host's programs and libraries, so that the directory has a shell.
		for _, dir := range []string{"/usr", "/lib", "/lib64"} {
			if _, err := os.Stat(dir); err == nil {
				mount(dir, dir, true)(c)
			}
		}
		mount(shell, "/bin/sh", true)(c)
		mount(mustLook(t, "sleep"), "/bin/sleep", true)(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	p.eventually("the script has run", func() bool { return strings.Contains(p.log("main"), "sys\n") })
	if got := p.log("main"); !strings.HasPrefix(got, "stdout F /home/app test\n") || strings.Contains(got, "home\n") {
		t.Errorf("log %q", got)
	}
	entries, err := os.ReadDir(filepath.Join(root, "bin"))
	if err != nil || len(entries) > 0 {
		t.Errorf("mount points were made in the named directory: %v, %v", entries, err)
	}
}

func mustLook(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/bin", "/bin"} {
		if path, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed", name)
	return ""
}

// TestDiskThatCannotBeALayer has the runtime's directory on an overlay, as inside a Docker container.
func TestDiskThatCannotBeALayer(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	options := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
	p := startServerIn(t, merged, "").run("pod", nil)
	id := p.start("main", "echo pod > /written; exec sleep 1000", nil)
	p.eventually("the file is written", func() bool { return p.exec(id, "cat /written || true") == "pod" })
	if _, err := os.Stat("/written"); err == nil {
		t.Error("the file is on the host")
	}
}
