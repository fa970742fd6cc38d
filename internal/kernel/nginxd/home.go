package nginxd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Home is the directory of an nginx: a subdirectory for each configuration, a link to the one in force, sockets and temporary files.
//
//	DIR/generations/7/nginx.conf …    DIR/current -> generations/7    DIR/run/…
type Home struct {
	dir     string
	user    string
	gid     int // of the workers; -1: they are of this process's user
	modules string
}

const (
	currentLink = "current"
	generations = "generations"
	runDir      = "run"
)

// workerUser is that of nginx's workers, if this process is root's. Their group is found by its name.
const workerUser = "nobody"

// moduleDirs are where distributions have nginx's dynamic modules.
var moduleDirs = [...]string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules", "/etc/nginx/modules"}

// OpenHome makes the directory, which must be this process's alone, and removes what an earlier process has left in it.
func OpenHome(dir string) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory of nginx: %w", err)
	}
	h := &Home{dir: dir, gid: -1}
	for _, name := range []string{generations, currentLink, runDir} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("remove what an earlier nginx has left: %w", err)
		}
	}
	for _, name := range []string{"", generations, runDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o711); err != nil {
			return nil, fmt.Errorf("make the directory of nginx: %w", err)
		}
	}
	if os.Geteuid() == 0 {
		h.dropRights()
	}
	for _, d := range moduleDirs {
		if _, err := os.Stat(filepath.Join(d, "ngx_stream_module.so")); err == nil {
			h.modules = d
			break
		}
	}
	return h, nil
}

// dropRights finds the workers' user; where there is none, they are root's as the master is.
func (h *Home) dropRights() {
	u, err := user.Lookup(workerUser)
	if err != nil {
		return
	}
	group, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return
	}
	if gid, err := strconv.Atoi(u.Gid); err == nil {
		h.gid, h.user = gid, workerUser+" "+group.Name
	}
}

// User returns the argument of nginx's directive user; "": none.
func (h *Home) User() string { return h.user }

// Modules returns the directory of dynamic modules; "": none was found.
func (h *Home) Modules() string { return h.modules }

// Run returns where sockets and temporary files are.
func (h *Home) Run() string { return filepath.Join(h.dir, runDir) }

// Current returns the path under which the files of a configuration are while it is in force, and while it is checked.
func (h *Home) Current() string { return filepath.Join(h.dir, currentLink) }

func (h *Home) of(generation uint64) string {
	return filepath.Join(h.dir, generations, strconv.FormatUint(generation, 10))
}

// Write writes the files of a generation, and returns its directory. Only this process and nginx's workers may read them. Their
// names for each other, which begin with Current, are made to mean the new files when it is checked.
func (h *Home) Write(generation uint64, files map[string]string) (dir string, err error) {
	dir = h.of(generation)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("write nginx's configuration: %w", err)
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return "", fmt.Errorf("write nginx's configuration: %w", err)
	}
	errs := []error{h.share(dir)}
	for name, content := range files {
		path := filepath.Join(dir, name)
		errs = append(errs, os.WriteFile(path, []byte(content), 0o640), h.share(path))
	}
	// For the check alone: the same configuration with the names of the new files.
	checked := strings.ReplaceAll(files[File], h.Current()+"/", dir+"/")
	errs = append(errs, os.WriteFile(filepath.Join(dir, checkFile), []byte(checked), 0o600))
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("write nginx's configuration: %w", err)
	}
	return dir, nil
}

// checkFile has as many lines as File, and its name ends alike in nginx's messages.
const checkFile = "check-nginx.conf"

// share lets the workers' group read a file.
func (h *Home) share(path string) error {
	if h.gid < 0 {
		return nil
	}
	return os.Chown(path, -1, h.gid)
}

// Use makes a generation the current one, in one step, and removes those before the last.
func (h *Home) Use(generation uint64) error {
	next := h.Current() + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("switch nginx's configuration: %w", err)
	}
	if err := os.Symlink(h.of(generation), next); err != nil {
		return fmt.Errorf("switch nginx's configuration: %w", err)
	}
	if err := os.Rename(next, h.Current()); err != nil {
		return fmt.Errorf("switch nginx's configuration: %w", err)
	}
	if generation >= 2 {
		// Workers of the one before may still read its files of passwords.
		if err := os.RemoveAll(h.of(generation - 2)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove an old configuration of nginx: %w", err)
		}
	}
	return nil
}

// Ask gets a path from a server of nginx on a unix socket below Run, up to 1 kB.
func (h *Home) Ask(ctx context.Context, socket, path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(h.Run(), socket))
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nginx"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("ask nginx: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return string(body), err
}
