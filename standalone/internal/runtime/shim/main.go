package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Main is the shim's main function. It ends in the container's command, or exits with status 1 after a Report.
func Main() {
	runtime.LockOSThread() // credentials and the parent-death signal belong to a thread
	if len(os.Args) > 2 && os.Args[2] == PauseCommand {
		pause()
	}
	unix.CloseOnExec(SpecFD)
	unix.CloseOnExec(ReportFD)
	out := json.NewEncoder(os.NewFile(ReportFD, "report"))
	err := run(out)
	_ = out.Encode(Report{Error: err.Error()}) // a runtime that is gone needs no report
	os.Exit(1)
}

// run returns only if the command could not be executed.
func run(out *json.Encoder) error {
	var spec Spec
	if err := json.NewDecoder(os.NewFile(SpecFD, "spec")).Decode(&spec); err != nil {
		return fmt.Errorf("read the container's description: %w", err)
	}
	warn := func(err error) { _ = out.Encode(Report{Warning: err.Error()}) }
	if err := setOOMScore(spec.OOMScoreAdj); err != nil {
		warn(err)
	}
	if err := buildRoot(spec, warn); err != nil {
		return err
	}
	who, err := lookupUser(spec.User)
	if err != nil {
		return err
	}
	dir, err := enterDir(spec.Dir)
	if err != nil {
		return err
	}
	env := completeEnv(spec.Env, who.home)
	path, err := lookPath(spec.Args[0], env, dir)
	if err != nil {
		return err
	}
	if err := giveStreams(who.uid, os.Stdin, os.Stdout, os.Stderr); err != nil {
		warn(err)
	}
	if err := dropPrivileges(spec, who); err != nil {
		return err
	}
	if err := dieWithRuntime(); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", path, unix.Exec(path, spec.Args, env))
}

func setOOMScore(score int) error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(score)), 0); err != nil {
		return fmt.Errorf("set oom_score_adj to %d: %w", score, err)
	}
	return nil
}

// dieWithRuntime asks for SIGKILL when the runtime dies. The kernel forgets the one that the runtime asked for when the
// user changes, and sends none for a death before this call: a report pipe without a reader shows that.
func dieWithRuntime() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the container to the runtime's life: %w", err)
	}
	fds := []unix.PollFd{{Fd: ReportFD, Events: unix.POLLOUT}}
	if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("see whether the runtime lives: %w", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 {
		return errors.New("the runtime is gone")
	}
	return nil
}

// enterDir makes dir the current directory, and the directory itself if it does not exist.
func enterDir(dir string) (string, error) {
	if dir == "" {
		dir = "/"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the working directory: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return "", fmt.Errorf("enter the working directory: %w", err)
	}
	return dir, nil
}

// pause reaps what is orphaned in its PID namespace, until it is killed.
func pause() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	for { // the first time for those that died before Notify
		for {
			if pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 {
				break
			}
		}
		<-died
	}
}
