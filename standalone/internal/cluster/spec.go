// Package cluster holds what a standalone cluster consists of: its addresses, directories, namespaces, processes, and
// how they are started, watched and cleared away.
package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// DefaultDataDir is where a cluster is kept unless the user says otherwise.
const DefaultDataDir = "/var/lib/switchyard-standalone"

const (
	// MaxNodes is how many nodes the addresses of the LAN have room for.
	MaxNodes = 200
	// maxDataDir is how long the path of the data directory may be, in bytes: the kubelet's sockets lie below it, and the
	// path of a socket has room for 107 (unix(7)).
	maxDataDir = 60
)

// Spec is what the user asked for. It is kept in the data directory, where every process of the cluster reads it.
type Spec struct {
	// DataDir is the absolute path of the directory that holds everything of the cluster.
	DataDir string `json:"dataDir"`
	// Nodes is how many nodes there are, 1 to MaxNodes.
	Nodes int `json:"nodes"`
	// Zones are given to the nodes in turn, as topology.kubernetes.io/zone. Empty: no such label.
	Zones []string `json:"zones,omitempty"`
	// Images is the file of the image table. Empty: none.
	Images string `json:"images,omitempty"`
	// ProxyMode is the service proxy's backend on every node. Empty: the default one.
	ProxyMode string `json:"proxyMode,omitempty"`
	// NoDNS leaves the cluster without a name server: pods ask the same address all the same.
	NoDNS bool `json:"noDNS,omitempty"`
	// Corefile is the file that the cluster DNS is to begin with. Empty: one of our own, or what is in the ConfigMap.
	Corefile string `json:"corefile,omitempty"`
	// Expose joins the host's network to the LAN.
	Expose bool `json:"expose,omitempty"`
	// Port is where the API server answers on the host's loopback, chosen by up.
	Port int `json:"port"`
}

// Validate says, of the first field that cannot be honoured, what is wrong and what would do.
func (s *Spec) Validate() error {
	if s.Nodes < 1 || s.Nodes > MaxNodes {
		return fmt.Errorf("--nodes %d: want a number from 1 to %d", s.Nodes, MaxNodes)
	}
	if err := checkDataDir(s.DataDir); err != nil {
		return err
	}
	for _, zone := range s.Zones {
		if problems := validation.IsValidLabelValue(zone); zone == "" || len(problems) > 0 {
			return fmt.Errorf("--zones: %q cannot be the name of a zone: want letters, digits, '-', '_' and '.', separated by commas", zone)
		}
	}
	if s.NoDNS && s.Corefile != "" {
		return fmt.Errorf("--corefile %s: there is no DNS with --dns=false; leave one of the two out", s.Corefile)
	}
	if s.Images != "" {
		if _, err := os.Stat(s.Images); err != nil {
			return fmt.Errorf("--images: %w; name a file that can be read, or leave the flag out", err)
		}
	}
	return nil
}

// checkDataDir refuses directories that the cluster cannot work in.
func checkDataDir(dir string) error {
	if !filepath.IsAbs(dir) || dir == "/" {
		return fmt.Errorf("--data-dir %q: want the absolute path of a directory of the cluster's own", dir)
	}
	if len(dir) > maxDataDir {
		return fmt.Errorf("--data-dir %s: the path has %d bytes and the sockets below it leave room for %d; choose a shorter one",
			dir, len(dir), maxDataDir)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("--data-dir %s: is a file; name a directory", dir)
	}
	return nil
}

// ID is a short name that no cluster in another data directory has; it is part of the names of namespaces.
func ID(dataDir string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return hex.EncodeToString(sum[:4])
}

// NodeName returns the name of node i, counted from 1.
func NodeName(i int) string { return fmt.Sprintf("node-%d", i) }

// NodeNames returns the names of the nodes.
func (s *Spec) NodeNames() []string {
	names := make([]string, s.Nodes)
	for i := range names {
		names[i] = NodeName(i + 1)
	}
	return names
}

// NodeIndex returns the number of a node, counted from 1, or an error that says which names there are.
func (s *Spec) NodeIndex(name string) (int, error) {
	for i, other := range s.NodeNames() {
		if other == name {
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("no node is called %q: there are %s", name, strings.Join(s.NodeNames(), ", "))
}

// Zone returns the zone of node i, counted from 1, or "" if there are none.
func (s *Spec) Zone(i int) string {
	if len(s.Zones) == 0 {
		return ""
	}
	return s.Zones[(i-1)%len(s.Zones)]
}

// Paths within the data directory.

// PKI is the directory of certificates and keys.
func (s *Spec) PKI() string { return filepath.Join(s.DataDir, "pki") }

// Etcd is the directory of etcd's data, the one thing that down keeps besides the authorities' keys.
func (s *Spec) Etcd() string { return filepath.Join(s.DataDir, "etcd") }

// Logs is the directory of the processes' logs.
func (s *Spec) Logs() string { return filepath.Join(s.DataDir, "logs") }

// Run is the directory of what lives no longer than the cluster runs.
func (s *Spec) Run() string { return filepath.Join(s.DataDir, "run") }

// Node is the directory of a node's kubelet and pods.
func (s *Spec) Node(name string) string { return filepath.Join(s.DataDir, "nodes", name) }

// Kubeconfig is the file that users give to kubectl: it leads to the relay on the host's loopback.
func (s *Spec) Kubeconfig() string { return filepath.Join(s.DataDir, "kubeconfig") }

// KubeconfigInside is the same for programs in the cluster's own network, where the relay is not.
func (s *Spec) KubeconfigInside() string { return s.ComponentKubeconfig("admin") }

// ComponentKubeconfig is the file by which a component within the cluster's network reaches the API server.
func (s *Spec) ComponentKubeconfig(component string) string {
	return filepath.Join(s.PKI(), component+".kubeconfig")
}

// specFile is where the spec is kept in the data directory.
func specFile(dataDir string) string { return filepath.Join(dataDir, "cluster.json") }

// Save writes the spec to its data directory.
func (s *Spec) Save() error {
	if err := os.MkdirAll(s.DataDir, 0o755); err != nil {
		return err
	}
	return writeJSON(specFile(s.DataDir), s)
}

// ErrNoCluster is what Load returns, wrapped, for a data directory in which no cluster was ever started.
var ErrNoCluster = errors.New("no cluster there")

// Load reads the spec from a data directory.
func Load(dataDir string) (*Spec, error) {
	data, err := os.ReadFile(specFile(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data directory %s: %w; start one with `switchyard-standalone up`, or name its directory with --data-dir",
			dataDir, ErrNoCluster)
	}
	if err != nil {
		return nil, err
	}
	spec := &Spec{}
	if err := json.Unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("parse %s: %w", specFile(dataDir), err)
	}
	spec.DataDir = dataDir
	return spec, nil
}

// writeJSON replaces a file at once, so that a reader never sees half of it.
func writeJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", file, err)
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, file)
}
