package overlay

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inside, set in the environment, makes the test's process the one that is replaced.
const inside = "SWITCHYARD_OVERLAY_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(inside); path != "" {
		err := Exec([]string{"cat", path}, os.Environ(), map[string][]byte{path: []byte("covered")})
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestProgramSeesOtherContents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("original"), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), inside+"="+path)
	out, err := command.CombinedOutput()
	if err != nil || string(out) != "covered" {
		t.Errorf("the program read %q, %v", out, err)
	}
	if here, err := os.ReadFile(path); err != nil || string(here) != "original" {
		t.Errorf("everybody else reads %q, %v", here, err)
	}
}
