package runtime

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/nsthread"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime/shim"
)

// prepare translates CRI's description of a container into a launch. cleanup closes what the new process has its own
// copy of. It needs c.mu.
func (s *Server) prepare(c *container) (l launch, cleanup func(), err error) {
	spec, err := s.describe(c)
	if err == nil {
		spec.Mounts, err = s.mounts(c)
	}
	if err != nil {
		return launch{}, nil, err
	}
	l = launch{self: s.config.Self, spec: spec}
	if err := s.chooseNamespaces(c, &l); err != nil {
		return launch{}, nil, err
	}
	opened, err := c.openStreams(&l)
	cleanup = func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}
	if err != nil {
		cleanup()
		return launch{}, nil, err
	}
	return l, cleanup, nil
}

// chooseNamespaces joins the pod's namespaces, and the PID namespace that the container asks for.
func (s *Server) chooseNamespaces(c *container, l *launch) error {
	c.sandbox.mu.Lock()
	defer c.sandbox.mu.Unlock()
	if c.sandbox.stopped {
		return fmt.Errorf("pod sandbox %s is stopped", c.sandbox.id)
	}
	l.join = c.sandbox.namespaces
	l.join.PID = nil
	options := c.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch options.GetPid() {
	case cri.NamespaceMode_POD:
		l.join.PID = c.sandbox.namespaces.PID
		l.newPID = l.join.PID == nil
	case cri.NamespaceMode_TARGET:
		target, ok := s.findContainer(options.GetTargetId())
		if !ok {
			return fmt.Errorf("target container %q is not known", options.GetTargetId())
		}
		p, running := target.running()
		if !running {
			return fmt.Errorf("target container %s does not run", target.name())
		}
		file, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", p.pid))
		if err != nil {
			return fmt.Errorf("open the PID namespace of %s: %w", target.name(), err)
		}
		l.join.PID = file // closed by the finalizer: the thread may still use it
	case cri.NamespaceMode_NODE:
	default:
		l.newPID = true
	}
	return nil
}

// openStreams connects standard input, output and error; it returns the new process's ends.
func (c *container) openStreams(l *launch) ([]*os.File, error) {
	if c.config.GetTty() {
		master, slave, err := openTerminal("/dev")
		if err != nil {
			return nil, err
		}
		c.terminal = master
		l.tty, l.stdin, l.stdout, l.stderr = true, slave, slave, slave
		l.spec.Console = slave.Name()
		c.output.copyFrom(streamStdout, newTerminalReader(master))
		return []*os.File{slave}, nil
	}
	var opened []*os.File
	for _, stream := range []struct {
		name string
		to   **os.File
	}{{streamStdout, &l.stdout}, {streamStderr, &l.stderr}} {
		r, w, err := os.Pipe()
		if err != nil {
			return opened, fmt.Errorf("make a pipe for %s: %w", stream.name, err)
		}
		opened = append(opened, w)
		*stream.to = w
		c.output.copyFrom(stream.name, r)
	}
	if c.config.GetStdin() {
		r, w, err := os.Pipe()
		if err != nil {
			return opened, fmt.Errorf("make a pipe for stdin: %w", err)
		}
		opened = append(opened, r)
		l.stdin, c.stdin = r, w
	}
	return opened, nil
}

// describe fills the shim's Spec but for the mounts and the terminal.
func (s *Server) describe(c *container) (shim.Spec, error) {
	security := c.config.GetLinux().GetSecurityContext()
	capabilities, err := capabilitySet(security)
	if err != nil {
		return shim.Spec{}, err
	}
	spec := shim.Spec{
		Root: s.root(c), Shm: filepath.Join(c.sandbox.dir, "shm"),
		Args: c.args, Env: c.env(), Dir: c.config.GetWorkingDir(), User: user(security),
		Capabilities: capabilities, Privileged: security.GetPrivileged(), NoNewPrivs: security.GetNoNewPrivs(),
		OOMScoreAdj: int(c.config.GetLinux().GetResources().GetOomScoreAdj()),
	}
	if spec.Dir == "" {
		spec.Dir = c.entry.WorkDir
	}
	if !security.GetPrivileged() {
		spec.Masked, spec.ReadOnly = security.GetMaskedPaths(), security.GetReadonlyPaths()
	}
	for _, d := range c.config.GetDevices() {
		spec.Devices = append(spec.Devices, shim.Device{Source: d.GetHostPath(), Path: d.GetContainerPath()})
	}
	return spec, nil
}

// env is the image's environment and then the container's.
func (c *container) env() []string {
	var env []string
	own := map[string]bool{}
	for _, kv := range c.config.GetEnvs() {
		own[kv.GetKey()] = true
	}
	for _, key := range slices.Sorted(maps.Keys(c.entry.Env)) {
		if !own[key] {
			env = append(env, key+"="+c.entry.Env[key])
		}
	}
	if c.config.GetTty() && !own["TERM"] {
		env = append(env, "TERM=xterm")
	}
	if !own["HOSTNAME"] {
		if name, err := os.ReadFile(filepath.Join(c.sandbox.dir, "hostname")); err == nil {
			env = append(env, "HOSTNAME="+strings.TrimSpace(string(name)))
		}
	}
	for _, kv := range c.config.GetEnvs() {
		env = append(env, kv.GetKey()+"="+string(kv.GetValue()))
	}
	return env
}

// mounts are the container's, and the pod's files where the container has no mount of its own.
func (s *Server) mounts(c *container) ([]shim.Mount, error) {
	var mounts []shim.Mount
	for _, name := range []string{"hostname", "resolv.conf"} {
		target := "/etc/" + name
		if !slices.ContainsFunc(c.config.GetMounts(), func(m *cri.Mount) bool { return filepath.Clean(m.GetContainerPath()) == target }) {
			mounts = append(mounts, shim.Mount{Source: filepath.Join(c.sandbox.dir, name), Target: target})
		}
	}
	for _, m := range c.config.GetMounts() {
		source := m.GetHostPath()
		if name := m.GetImage().GetImage(); name != "" {
			entry, ok := s.config.Images.Lookup(imageName(name))
			if !ok || entry.Root == "" {
				return nil, fmt.Errorf("image volume %s: image %s stands for no root directory here: add it to the file given with --images",
					m.GetContainerPath(), imageName(name))
			}
			source = filepath.Join(entry.Root, m.GetImageSubPath())
		}
		// Docker and containerd make a hostPath that does not exist; the kubelet counts on it.
		if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(source, 0o755); err != nil {
				return nil, fmt.Errorf("make the directory to mount at %s: %w", m.GetContainerPath(), err)
			}
		}
		if m.GetPropagation() == cri.MountPropagation_PROPAGATION_BIDIRECTIONAL {
			s.config.Log.Warn("mounts of the container are not seen by the node", "pod", podName(c.sandbox.config),
				"container", c.name(), "path", m.GetContainerPath(), "mountPropagation", "Bidirectional")
		}
		mounts = append(mounts, shim.Mount{
			Source: source, Target: m.GetContainerPath(),
			ReadOnly: m.GetReadonly() || m.GetRecursiveReadOnly(), Recursive: m.GetRecursiveReadOnly(),
		})
	}
	return mounts, nil
}

func user(security *cri.LinuxContainerSecurityContext) shim.User {
	u := shim.User{
		Name: security.GetRunAsUsername(), UID: int(security.GetRunAsUser().GetValue()), GID: -1,
		Strict: security.GetSupplementalGroupsPolicy() == cri.SupplementalGroupsPolicy_Strict,
	}
	if group := security.GetRunAsGroup(); group != nil {
		u.GID = int(group.GetValue())
	}
	for _, g := range security.GetSupplementalGroups() {
		u.Groups = append(u.Groups, int(g))
	}
	return u
}

// namespacesOf opens those of a running container, for another process to join.
func (c *container) namespacesOf() (nsthread.Namespaces, error) {
	p, ok := c.running()
	if !ok {
		return nsthread.Namespaces{}, fmt.Errorf("container %s does not run", c.name())
	}
	return nsthread.OfProcess(p.pid)
}
