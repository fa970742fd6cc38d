package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime"
)

// The test binary plays three parts, as switchyard-standalone does: the tests, which run in a network namespace of their
// own that stands for a node; a node to be killed; and the container shim.
const (
	insideEnv = "SWITCHYARD_TEST_INSIDE"
	nodeArg   = "test-node"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == runtime.ShimCommand {
		runtime.ShimMain()
	}
	if len(os.Args) > 2 && os.Args[1] == nodeArg {
		if err := serveNode(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 3 && os.Args[1] == toolArg {
		if err := runTool(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(insideEnv) == "" {
		os.Exit(enter())
	}
	os.Exit(m.Run())
}

// enter runs this binary again in a network namespace that has nothing but its loopback interface, with mounts of its own.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "enter a network namespace:", err)
		return 1
	}
	return 0
}

func nodeConfig(root string) runtime.Config {
	return runtime.Config{
		Socket: filepath.Join(root, "cri.sock"), Root: filepath.Join(root, "runtime"), MTU: 1400,
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.7.0/24"), netip.MustParsePrefix("fd00:10:244:7::/64")},
		Log:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// serveNode is a node's process: it runs until it is told to end, or killed.
func serveNode(root string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server, err := runtime.New(nodeConfig(root))
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
