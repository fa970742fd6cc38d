// Package nginxd runs the system's nginx: it has a configuration checked, keeps the server alive, and reloads it.
package nginxd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says which nginx runs where.
type Config struct {
	// Program is the path of nginx, or its name in $PATH; "": nginx.
	Program string
	// Home has its configuration and files.
	Home *Home
	// Stop bounds how long it may take to finish what it carries at the end; 0: 30 s.
	Stop time.Duration
}

const defaultStop = 30 * time.Second

// Pauses before nginx is started again after it ended by itself.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// File is the name of the configuration among the files of Home.Write.
const File = "nginx.conf"

// Server is an nginx. Its methods may be called from any goroutine.
type Server struct {
	cfg Config
	log *slog.Logger
	out io.Writer

	mu     sync.Mutex
	master *os.Process // nil: it does not run
	old    []int       // the workers of before the last Reload
}

// New returns a Server that is not started. Access log lines, which the configuration sends to standard output, go to out.
func New(cfg Config, log *slog.Logger, out io.Writer) (*Server, error) {
	if cfg.Program == "" {
		cfg.Program = "nginx"
	}
	if cfg.Stop == 0 {
		cfg.Stop = defaultStop
	}
	path, err := exec.LookPath(cfg.Program)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // which is not in everybody's $PATH
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, cfg.Program))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find nginx: %w; install it, or name its program", err)
	}
	cfg.Program = path
	return &Server{cfg: cfg, log: log, out: out}, nil
}

// Version returns what `nginx -v` says, such as "nginx/1.22.1".
func (s *Server) Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, s.cfg.Program, "-v").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -v: %w", s.cfg.Program, err)
	}
	_, version, _ := strings.Cut(string(out), "version: ")
	return strings.TrimSpace(version), nil
}

// Check has nginx read the configuration that Home.Write has written, with all files that it names. The error has nginx's own words.
func (s *Server) Check(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, s.cfg.Program, "-t", "-q", "-p", s.cfg.Home.dir, "-e", "stderr", "-c", filepath.Join(dir, checkFile))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		return fmt.Errorf("nginx refuses the configuration: %s", text)
	}
	return fmt.Errorf("nginx -t: %w", err)
}

// Run keeps an nginx alive with the current configuration until ctx is done, and has it finish its requests then.
func (s *Server) Run(ctx context.Context) error {
	pause := firstPause
	for {
		began := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			return err
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		s.log.Error("nginx has ended, and is started again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// once runs one nginx to its end. The kernel ends it with the thread that started it, so that it does not outlive this process.
func (s *Server) once(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(s.cfg.Program, "-p", s.cfg.Home.dir, "-e", "stderr", "-c", filepath.Join(s.cfg.Home.Current(), File), "-g", "daemon off;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	cmd.Stdout, cmd.Stderr = s.out, &lines{log: s.log}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	s.set(cmd.Process)
	ended := make(chan struct{})
	var stopping sync.WaitGroup
	stopping.Go(func() { s.stopWith(ctx, cmd.Process, ended) })
	err := cmd.Wait()
	s.set(nil)
	close(ended)
	stopping.Wait()
	if err != nil {
		return fmt.Errorf("nginx: %w", err)
	}
	return nil
}

// stopWith ends nginx once ctx is done, the hard way if it takes too long.
func (s *Server) stopWith(ctx context.Context, master *os.Process, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	_ = master.Signal(syscall.SIGQUIT) // it may have ended
	select {
	case <-ended:
	case <-time.After(s.cfg.Stop):
		s.log.Warn("nginx still had connections, which are cut", "after", s.cfg.Stop)
		_ = master.Signal(syscall.SIGTERM)
	}
}

func (s *Server) set(master *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.master = master
}

// ErrNotRunning is returned by Reload while there is no nginx, or it is being started again: it then reads the configuration anyway.
var ErrNotRunning = errors.New("nginx does not run")

// Reload tells nginx to take up the current configuration. New workers then begin to answer; when the old ones have stopped,
// Settled says.
func (s *Server) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master == nil {
		return ErrNotRunning
	}
	s.old = workers(s.master.Pid)
	if err := s.master.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload nginx: %w", err)
	}
	return nil
}

// Settled reports whether no worker of before the last Reload takes new connections: nginx stops them a moment after the new ones
// have begun.
func (s *Server) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range s.old {
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.HasPrefix(string(title), "nginx: worker process\x00") {
			return false
		}
	}
	return true
}

// workers returns the children of a process.
func workers(master int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		return nil // it has ended
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// lines sends what nginx says on its standard error to a log.
type lines struct {
	log  *slog.Logger
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := strings.Cut(string(l.rest), "\n")
		if !found {
			return len(p), nil
		}
		l.rest = []byte(rest)
		level := slog.LevelInfo
		switch {
		case strings.Contains(line, "[emerg]"), strings.Contains(line, "[alert]"), strings.Contains(line, "[crit]"):
			level = slog.LevelError
		case strings.Contains(line, "[error]"), strings.Contains(line, "[warn]"):
			level = slog.LevelWarn
		}
		l.log.Log(context.Background(), level, line, "from", "nginx")
	}
}
