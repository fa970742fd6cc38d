package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImageTable(t *testing.T) {
	table := filepath.Join(t.TempDir(), "images.yaml")
	if err := os.WriteFile(table, []byte("greeter:\n  command: [sh, -c, 'echo from the table; exec sleep 600']\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := unusedDirectory(t)
	c.must(t, "up", "--images", table, "--dns=false", "--timeout", patience.String())
	c.apply(t, "default", `
apiVersion: v1
kind: Pod
metadata: {name: greeter}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: greeter:v1}]}
`)
	c.kubectl(t, "default", "wait", "pod/greeter", "--for=condition=Ready", "--timeout", patience.String())
	if logs := c.kubectl(t, "default", "logs", "greeter"); logs != "from the table\n" {
		t.Errorf("logs: %q", logs)
	}
	if r := c.run(t.Context(), "", "kubectl", "-n", "kube-system", "get", "service", "kube-dns"); !strings.Contains(r.stderr, "NotFound") {
		t.Errorf("%s\nwant no Service of a cluster DNS that is switched off", r)
	}
}
