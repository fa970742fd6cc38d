package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, text string) (Images, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "images.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadImages(file)
}

func TestLookup(t *testing.T) {
	images, err := load(t, `
app: {command: [app]}
app:v2: {command: [app2]}
team/*: {command: [team]}
team/special-*: {command: [special]}
busybox: {command: [mine]}
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"app": "app", "app:v1": "app", "app:v2": "app2", "app@sha256:0123": "app", "app:v2@sha256:0123": "app2",
		"registry.example.com:5000/app:v1": "app", "registry.example.com/library/app:v2": "app2", "library/app": "app",
		"team/x:1": "team", "registry.example.com/team/x": "team", "team/special-1:latest": "special",
		"busybox:1.36": "mine", "alpine:3": "sh", "other": "", "app/other": "",
	} {
		image, ok := images.Lookup(name)
		got := strings.Join(image.Command, " ")
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if image, _ := images.Lookup("switchyard/echo:latest"); len(image.Command) != 2 || image.Command[1] != "echo" || !filepath.IsAbs(image.Command[0]) {
		t.Errorf("switchyard/echo: %v", image)
	}
}

func TestLoadImagesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"app: {}":                               "app: give a command or a root directory",
		"app: {comand: [x]}":                    `unknown field "comand"`,
		"app: {root: /no/such/directory}":       "app: root: stat /no/such/directory",
		"app: {command: [x], workdir: relative": "yaml",
		"app: {command: [x], workdir: rel}":     `app: workdir: "rel" is not an absolute path`,
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", text, err, want)
		}
	}
	if _, err := LoadImages("/no/such/file"); err == nil || !strings.Contains(err.Error(), "read the image table: open /no/such/file") {
		t.Errorf("a missing file: error %v", err)
	}
}

func FuzzLookup(f *testing.F) {
	images := Images{entries: map[string]Image{"a*b*c": {Command: []string{"x"}}, "*": {Command: []string{"y"}}}}
	for _, seed := range []string{"", "/", ":", "@", "a:b/c@d", "abc", "axbxc", "localhost:5000/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if _, ok := images.Lookup(name); !ok {
			t.Errorf("%q does not match *", name)
		}
	})
}

func TestResolvConf(t *testing.T) {
	// rendered through a sandbox in TestSandboxWithOneContainer; an empty configuration is the node's own file.
	want, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip("this machine has no /etc/resolv.conf")
	}
	got, err := resolvConf(nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
