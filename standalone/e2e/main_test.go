package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// shared is the cluster that most tests use; set by TestMain.
var shared *testCluster

func TestMain(m *testing.M) {
	if name := os.Getenv(lookupVariable); name != "" {
		os.Exit(lookUp(name))
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// runTests builds the program, starts the shared cluster, runs the tests, and stops it.
func runTests(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("the end-to-end tests make network namespaces and mounts: run them as root")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	if out, err := exec.Command("make", "-s", "-C", root, "build").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	dir, err := os.MkdirTemp("", "swy")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	shared = &testCluster{program: filepath.Join(root, "bin", "switchyard-standalone"), dir: filepath.Join(dir, "shared")}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	defer func() {
		down := shared.run(context.Background(), "", "down", "--purge")
		if down.code != 0 {
			err = errors.Join(err, fmt.Errorf("stop the shared cluster: %s", down))
		}
		err = errors.Join(err, shared.leftovers())
	}()
	if up := shared.run(ctx, "", "up", "--nodes", "2", "--zones", "a,b", "--timeout", "4m"); up.code != 0 {
		return 1, fmt.Errorf("start the shared cluster: %s\n%s", up, shared.lastLogs())
	}
	return m.Run(), nil
}
