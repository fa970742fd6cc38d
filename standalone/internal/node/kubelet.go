package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/util/oom"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
)

// maxPods is how many pods a node takes: what the prefix of its IPv4 pods has room for.
const maxPods = 250

// kubelet describes the kubelet of a node.
type kubelet struct {
	spec   *cluster.Spec
	index  int    // of the node, counted from 1
	socket string // of the container runtime
	// resolver is the resolv.conf of the node, and of pods with dnsPolicy Default.
	resolver string
}

// name returns the node's name.
func (k *kubelet) name() string { return cluster.NodeName(k.index) }

// dir returns a directory below the node's own.
func (k *kubelet) dir(name string) string { return filepath.Join(k.spec.Node(k.name()), name) }

// run is a kubelet as upstream builds it, but for what needs containers or the whole machine: cgroups, cAdvisor's
// statistics and the OOM score. It returns when the context ends.
func (k *kubelet) run(ctx context.Context) error {
	server, err := k.server()
	if err != nil {
		return err
	}
	gates := utilfeature.DefaultFeatureGate
	deps, err := app.UnsecuredDependencies(ctx, server, gates)
	if err != nil {
		return fmt.Errorf("prepare the kubelet of %s: %w", k.name(), err)
	}
	deps.CAdvisorInterface = newMachine(k.spec.Node(k.name()))
	deps.ContainerManager = containerManager{cm.NewStubContainerManager()}
	deps.OOMAdjuster = oom.NewFakeOOMAdjuster()
	if err := app.Run(ctx, server, deps, gates); err != nil {
		return fmt.Errorf("run the kubelet of %s: %w", k.name(), err)
	}
	return nil
}

// server returns the kubelet's flags and configuration.
func (k *kubelet) server() (*options.KubeletServer, error) {
	server, err := options.NewKubeletServer()
	if err != nil {
		return nil, fmt.Errorf("make the configuration of the kubelet: %w", err)
	}
	flags := &server.KubeletFlags
	flags.KubeConfig = k.spec.ComponentKubeconfig(k.name())
	flags.HostnameOverride = k.name()
	flags.NodeIP = cluster.NodeAddress(k.index).String()
	flags.RootDirectory = k.dir("kubelet")
	flags.CertDirectory = k.spec.PKI()
	flags.NodeLabels = k.labels()
	flags.MaxPerPodContainerCount = 2
	flags.MinimumGCAge.Duration = time.Minute
	if err := os.MkdirAll(flags.RootDirectory, 0o700); err != nil {
		return nil, err
	}
	if err := k.configure(server); err != nil {
		return nil, err
	}
	return server, nil
}

// labels are those that the kubelet keeps on its node, and would remove if it did not know them.
func (k *kubelet) labels() map[string]string {
	labels := map[string]string{}
	if zone := k.spec.Zone(k.index); zone != "" {
		labels[corev1.LabelTopologyZone] = zone
	}
	return labels
}

// configure fills in the configuration.
func (k *kubelet) configure(c *options.KubeletServer) error {
	c.ContainerRuntimeEndpoint = "unix://" + k.socket
	c.Port = cluster.KubeletPort
	c.TLSCertFile = k.spec.PKIFile(cluster.KubeletServing(k.name()) + ".crt")
	c.TLSPrivateKeyFile = k.spec.PKIFile(cluster.KubeletServing(k.name()) + ".key")
	c.Authentication.X509.ClientCAFile = k.spec.PKIFile(cluster.CAName + ".crt")
	c.ClusterDNS = []string{cluster.DNSAddresses().V4.String()}
	c.ClusterDomain = cluster.ClusterDomain
	c.ResolverConfig = k.resolver
	c.PodLogsDir = podLogs
	c.VolumePluginDir = k.dir("volume-plugins")
	c.MaxPods = maxPods
	if err := limitFiles(c); err != nil {
		return err
	}
	// The stub container manager has no cgroups, so neither version of them matters.
	c.FailCgroupV1 = false
	c.CgroupsPerQOS = false
	c.EnforceNodeAllocatable = nil
	c.FailSwapOn = false
	// It reads pods' limits back from their cgroups.
	c.FeatureGates = map[string]bool{string(features.InPlacePodLevelResourcesVerticalScaling): false}
	// There is no attach and detach controller to wait for.
	c.EnableControllerAttachDetach = false
	// The machine belongs to others too: its free disk and memory are no reason to evict pods.
	c.EvictionHard = map[string]string{}
	c.ImageGCHighThresholdPercent, c.ImageGCLowThresholdPercent = 100, 99
	// Every image is there already.
	c.SerializeImagePulls = false
	// Firewall chains in the node's namespace are the service proxy's business only.
	c.MakeIPTablesUtilChains = false
	// The defaults protect API servers of large clusters.
	c.EventRecordQPS = 0
	c.KubeAPIQPS, c.KubeAPIBurst = 100, 200
	c.RegistryPullQPS = 0
	return nil
}

// limitFiles asks for as many open files as the machine grants: raising the limit takes CAP_SYS_RESOURCE.
func limitFiles(c *options.KubeletServer) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	c.MaxOpenFiles = min(c.MaxOpenFiles, int64(limit.Max))
	return nil
}

// containerManager is upstream's stand-in for tests, which manages no cgroups.
type containerManager struct {
	cm.ContainerManager
}

// GetPodCgroupRoot says that what pods use is counted with all that the machine does: statistics of anything less than
// the machine are not kept, and the eviction manager complains of none at all.
func (containerManager) GetPodCgroupRoot() string { return "/" }
