package guest

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed launch.sh
var launchScript []byte

//go:embed init.sh
var initScript []byte

// Variable is set to 1 in the environment of every command that runs in a guest.
const Variable = "SWITCHYARD_GUEST"

// pollInterval is how often files of the shared directory are looked at: nothing announces what the guest writes.
const pollInterval = 20 * time.Millisecond

// haltPatience is how long a guest may take to end by itself before it is killed.
const haltPatience = 10 * time.Second

// Guest is a running guest. It is safe for concurrent use.
type Guest struct {
	shared  string
	console *console
	input   io.WriteCloser // the console's input
	ended   chan struct{}  // closed when the kernel has ended
	kill    func()         // nil until the kernel is started
	cleanup []func() error // after the kernel's end
	close   sync.Once

	mu   sync.Mutex
	jobs int // commands started; guarded by mu
}

// Inside reports whether this process runs in a guest.
func Inside() bool { return os.Getenv(Variable) == "1" }

// Boot starts a guest and returns when it takes commands. The guest ends with Close, with ctx, or with this process.
// Errors hold the end of what its kernel printed.
func Boot(ctx context.Context, m Machine) (*Guest, error) {
	program, err := kernel()
	if err != nil {
		return nil, fmt.Errorf("boot a user mode linux guest: %w", err)
	}
	shared, err := makeShared()
	if err != nil {
		return nil, fmt.Errorf("make the directory to share with a guest: %w", err)
	}
	g := &Guest{shared: shared, console: &console{copy: m.Console}, ended: make(chan struct{})}
	g.cleanup = append(g.cleanup, func() error { return os.RemoveAll(shared) })
	if err := g.boot(ctx, m, program); err != nil {
		return nil, errors.Join(fmt.Errorf("boot a user mode linux guest: %w", err), g.Close())
	}
	return g, nil
}

func (g *Guest) boot(ctx context.Context, m Machine, program string) error {
	network, err := connect(m.Network)
	if err != nil {
		return err
	}
	g.cleanup = append(g.cleanup, network.remove)
	settings := fmt.Sprintf("modules=%s\naddress=%s\n", quote(strings.Join(append(baseModules, m.Modules...), " ")), quote(network.guestAddress))
	for name, content := range map[string][]byte{"launch.sh": launchScript, "init.sh": initScript, "settings": []byte(settings)} {
		if err := os.WriteFile(g.path(name), content, 0o755); err != nil {
			return err
		}
	}
	memory := m.MemoryMB
	if memory == 0 {
		memory = defaultMemoryMB
	}
	args := []string{
		"sh", g.path("launch.sh"), g.shared, strconv.Itoa(memory), program,
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", fmt.Sprintf("mem=%dM", memory), "init=" + g.path("init.sh"),
		"con=null", "con0=fd:0,fd:1", "ssl=null", "uml_dir=/dev/shm", "umid=guest", "noreboot", "panic=-1", "loglevel=5",
	}
	args = append(append(network.enter, args...), network.arguments...)
	if err := g.start(exec.Command(args[0], args[1:]...), network.flags); err != nil {
		return err
	}
	context.AfterFunc(ctx, g.kill)
	timeout := m.BootTimeout
	if timeout == 0 {
		timeout = defaultBootTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready after %s", timeout))
	defer cancel()
	return g.await(ctx, g.path("ready"))
}

// start starts the kernel in namespaces of its own, and watches it to its end.
func (g *Guest) start(cmd *exec.Cmd, network uintptr) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | network, Pdeathsig: unix.SIGKILL, Setsid: true,
	}
	cmd.Stdout, cmd.Stderr = g.console, g.console
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	started := make(chan error)
	go func() {
		// The signal at the parent's death is at that of the thread that started the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			// How it ended shows on the console, and in what is missing.
			_ = cmd.Wait()
			close(g.ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	g.input, g.kill = input, func() { _ = cmd.Process.Kill() }
	return nil
}

// await waits for a file of the shared directory.
func (g *Guest) await(ctx context.Context, path string) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return g.failure(context.Cause(ctx))
		case <-g.ended:
			if _, err := os.Stat(path); err == nil {
				return nil
			}
			return g.failure(errors.New("its kernel has ended"))
		case <-ticker.C:
		}
	}
}

// failure returns an error with the end of the console.
func (g *Guest) failure(err error) error {
	return fmt.Errorf("%w; the end of its console:\n%s", err, g.console.tail())
}

// Shared returns the directory that exists on both sides, at the same path. What the guest writes there is seen on this
// side within half a second, and when a command has ended.
func (g *Guest) Shared() string { return g.shared }

// Console returns the end of what the guest's kernel has printed.
func (g *Guest) Console() string { return g.console.tail() }

// path returns the path of a file in the shared directory.
func (g *Guest) path(name string) string { return filepath.Join(g.shared, name) }

// Close ends the guest, and removes the shared directory and the tap device. It is idempotent.
func (g *Guest) Close() error {
	var errs []error
	g.close.Do(func() {
		if g.kill != nil {
			// An error means that it has ended already.
			_, _ = io.WriteString(g.input, "halt\n")
			_ = g.input.Close()
			select {
			case <-g.ended:
			case <-time.After(haltPatience):
				g.kill()
				<-g.ended
			}
		}
		for _, undo := range g.cleanup {
			errs = append(errs, undo())
		}
	})
	return errors.Join(errs...)
}
