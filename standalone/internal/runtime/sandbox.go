package runtime

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/switchyard-net/switchyard/standalone/internal/runtime/nsthread"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime/podnet"
)

// sandbox is a pod: the namespaces that its containers share.
type sandbox struct {
	id      string
	dir     string
	config  *cri.PodSandboxConfig
	created time.Time
	handler string

	mu         sync.Mutex
	stopped    bool                // guarded by mu
	namespaces nsthread.Namespaces // guarded by mu; those that are the node's are nil
	addrs      []netip.Addr        // guarded by mu; none with the node's network
	link       *podnet.Link        // guarded by mu; nil with the node's network
	relay      *podnet.Relay       // guarded by mu; nil without host ports
	pause      *process            // guarded by mu; nil unless the containers share a PID namespace
}

func namespaceOptions(config *cri.PodSandboxConfig) *cri.NamespaceOption {
	return config.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

// newSandbox makes a pod's namespaces, connects them and writes its files. On an error nothing is left.
func (s *Server) newSandbox(config *cri.PodSandboxConfig, handler string) (*sandbox, error) {
	if config.GetMetadata() == nil {
		return nil, errors.New("the pod sandbox has no metadata")
	}
	sb := &sandbox{id: newID(), config: config, created: time.Now(), handler: handler}
	sb.dir = filepath.Join(s.config.Root, sandboxesDir, sb.id)
	steps := []func() error{
		sb.writeFiles,
		sb.makeNamespaces,
		func() error { return s.connect(sb) },
		sb.applySysctls,
		sb.openHostPorts,
		func() error { return s.startPause(sb) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.release(sb), os.RemoveAll(sb.dir))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandboxes[sb.id] = sb
	return sb, nil
}

// writeFiles makes what every container of the pod sees as /etc/hostname, /etc/resolv.conf and /dev/shm.
func (sb *sandbox) writeFiles() error {
	shm := filepath.Join(sb.dir, "shm")
	if err := os.MkdirAll(shm, 0o711); err != nil {
		return fmt.Errorf("make the pod's directory: %w", err)
	}
	if err := os.Chmod(shm, 0o777|os.ModeSticky); err != nil {
		return fmt.Errorf("make the pod's /dev/shm: %w", err)
	}
	hostname := sb.config.GetHostname()
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return fmt.Errorf("read the node's host name: %w", err)
		}
	}
	resolv, err := resolvConf(sb.config.GetDnsConfig())
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"hostname": hostname + "\n", "resolv.conf": resolv} {
		if err := os.WriteFile(filepath.Join(sb.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the pod's %s: %w", name, err)
		}
	}
	return nil
}

// resolvConf renders a DNS configuration; nil stands for the node's own. An empty one is a pod without DNS.
func resolvConf(dns *cri.DNSConfig) (string, error) {
	if dns == nil {
		text, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("read the node's resolv.conf: %w", err)
		}
		return string(text), nil
	}
	var b strings.Builder
	if len(dns.GetSearches()) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.GetSearches(), " "))
	}
	for _, server := range dns.GetServers() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(dns.GetOptions()) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.GetOptions(), " "))
	}
	return b.String(), nil
}

func (sb *sandbox) makeNamespaces() error {
	options := namespaceOptions(sb.config)
	which := nsthread.Which{
		UTS: true,
		Net: options.GetNetwork() != cri.NamespaceMode_NODE,
		IPC: options.GetIpc() != cri.NamespaceMode_NODE,
	}
	made, err := nsthread.Create(which, func() error {
		if name := sb.config.GetHostname(); name != "" {
			if err := unix.Sethostname([]byte(name)); err != nil {
				return fmt.Errorf("set the pod's host name to %q: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the pod's namespaces: %w", err)
	}
	sb.namespaces = made
	return nil
}

// connect gives a pod with a network of its own its addresses and interfaces.
func (s *Server) connect(sb *sandbox) error {
	if sb.namespaces.Net == nil {
		return nil
	}
	addrs, err := s.pool.Take()
	if err != nil {
		return err
	}
	sb.addrs = addrs
	link := podnet.Link{
		Name: podnet.LinkPrefix + sb.id[:12], MTU: s.config.MTU,
		Addrs: addrs, Gateways: s.pool.Gateways(),
	}
	if err := link.Connect(sb.namespaces); err != nil {
		return fmt.Errorf("connect the pod: %w", err)
	}
	sb.link = &link
	return nil
}

// applySysctls sets what containers without privileges are used to (ports below 1024 and ping for everyone), then the
// pod's own.
func (sb *sandbox) applySysctls() error {
	settings := map[string]string{}
	if sb.namespaces.Net != nil {
		settings["net.ipv4.ip_unprivileged_port_start"] = "0"
		settings["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for name, value := range sb.config.GetLinux().GetSysctls() {
		settings[strings.ReplaceAll(name, "/", ".")] = value
	}
	return sb.namespaces.Do(func() error {
		for name, value := range settings {
			if err := sb.checkSysctl(name); err != nil {
				return err
			}
			path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
				return fmt.Errorf("set the pod's sysctl %s to %q: %w", name, value, err)
			}
		}
		return nil
	})
}

// checkSysctl refuses to change what is not the pod's own.
func (sb *sandbox) checkSysctl(name string) error {
	ipc := []string{"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"}
	switch {
	case strings.Contains(name, ".."):
	case strings.HasPrefix(name, "net.") && sb.namespaces.Net != nil:
		return nil
	case (slices.Contains(ipc, name) || strings.HasPrefix(name, "fs.mqueue.")) && sb.namespaces.IPC != nil:
		return nil
	}
	return fmt.Errorf("sysctl %s: the pod has no namespace of its own for it", name)
}

func (sb *sandbox) openHostPorts() error {
	if sb.namespaces.Net == nil {
		return nil // the containers listen on the node's addresses themselves
	}
	var ports []podnet.HostPort
	for _, m := range sb.config.GetPortMappings() {
		if m.GetHostPort() == 0 {
			continue
		}
		port := podnet.HostPort{
			Protocol: m.GetProtocol().String(), HostPort: uint16(m.GetHostPort()), PodPort: uint16(m.GetContainerPort()),
		}
		if ip := m.GetHostIp(); ip != "" {
			addr, err := netip.ParseAddr(ip)
			if err != nil {
				return fmt.Errorf("host port %d: hostIP: %w", m.GetHostPort(), err)
			}
			port.HostIP = addr
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 {
		return nil
	}
	relay, err := podnet.OpenRelay(ports, sb.addrs)
	sb.relay = relay
	return err
}

// startPause starts the first process of a PID namespace that the pod's containers share.
func (s *Server) startPause(sb *sandbox) error {
	if namespaceOptions(sb.config).GetPid() != cri.NamespaceMode_POD {
		return nil
	}
	p, err := startPause(s.config.Self)
	if err != nil {
		return fmt.Errorf("share a PID namespace: %w", err)
	}
	sb.pause = p
	sb.namespaces.PID, err = os.Open(fmt.Sprintf("/proc/%d/ns/pid", p.pid))
	if err != nil {
		return fmt.Errorf("share a PID namespace: %w", err)
	}
	return nil
}

// stopSandbox kills the pod's containers and takes its network away; its record stays until removeSandbox.
func (s *Server) stopSandbox(sb *sandbox) error {
	sb.mu.Lock()
	sb.stopped = true // no container starts from now on; one that is starting is waited for and killed
	sb.mu.Unlock()
	for _, c := range s.containersOf(sb.id) {
		c.kill()
	}
	return s.release(sb)
}

// release gives back all that the sandbox holds outside of its directory. It may be called again.
func (s *Server) release(sb *sandbox) error {
	sb.mu.Lock()
	defer sb.mu.Unlock()
	sb.stopped = true
	var errs []error
	if sb.relay != nil {
		sb.relay.Close()
		sb.relay = nil
	}
	if sb.pause != nil {
		sb.pause.kill()
		<-sb.pause.done
		sb.pause = nil
	}
	if sb.link != nil {
		errs = append(errs, sb.link.Disconnect())
		sb.link = nil
	}
	if sb.addrs != nil {
		s.pool.Release(sb.addrs)
		sb.addrs = nil
	}
	errs = append(errs, sb.namespaces.Close())
	sb.namespaces = nsthread.Namespaces{}
	return errors.Join(errs...)
}

// removeSandbox stops the pod and forgets it and its containers.
func (s *Server) removeSandbox(sb *sandbox) error {
	errs := []error{s.stopSandbox(sb)}
	for _, c := range s.containersOf(sb.id) {
		errs = append(errs, s.removeContainer(c))
	}
	s.mu.Lock()
	delete(s.sandboxes, sb.id)
	delete(s.missing, sb.config.GetMetadata().GetUid())
	s.mu.Unlock()
	return errors.Join(append(errs, os.RemoveAll(sb.dir))...)
}
