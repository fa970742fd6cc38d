package config

import (
	"errors"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-proxy/config/v1alpha1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/proxy/quarantine"
)

// KubeProxy is kube-proxy's configuration file, which is ours too, with a block for what kube-proxy does not have.
type KubeProxy struct {
	v1alpha1.KubeProxyConfiguration
	Switchyard Switchyard `json:"switchyard"`
}

// Switchyard is the block "switchyard" of the configuration file. kube-proxy warns of it, and goes on without.
type Switchyard struct {
	// Quarantine is "off", "observe" or "on": what to do about endpoints that do not answer this node.
	Quarantine Switch `json:"quarantine"`
	DNS        DNS    `json:"dns"`
}

// Switch is a word among which are "on" and "off", that YAML 1.1 takes for booleans unless they are quoted.
type Switch string

// UnmarshalJSON takes booleans for the words that they were.
func (s *Switch) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case "true":
		*s = "on"
		return nil
	case "false":
		*s = "off"
		return nil
	}
	return json.UnmarshalCaseSensitivePreserveInts(text, (*string)(s))
}

// ProxyMode is the type of KubeProxy's mode.
type ProxyMode = v1alpha1.ProxyMode

// LocalMode is the type of KubeProxy's detectLocalMode.
type LocalMode = v1alpha1.LocalMode

// kubeProxyKind is the only kind of configuration file.
const kubeProxyKind = "KubeProxyConfiguration"

// ParseKubeProxy reads a KubeProxyConfiguration in YAML or JSON. A field that the type does not have is an error that
// names it. Defaults are filled in.
func ParseKubeProxy(r io.Reader) (*KubeProxy, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	var kind metav1.TypeMeta
	if err := json.UnmarshalCaseSensitivePreserveInts(asJSON, &kind); err != nil {
		return nil, fmt.Errorf("not a %s: %w", kubeProxyKind, err)
	}
	if want := v1alpha1.SchemeGroupVersion.String(); kind.Kind != kubeProxyKind || kind.APIVersion != want {
		return nil, fmt.Errorf("apiVersion %q, kind %q: want apiVersion %q, kind %q", kind.APIVersion, kind.Kind, want, kubeProxyKind)
	}
	var kp KubeProxy
	strict, err := json.UnmarshalStrict(asJSON, &kp)
	if err != nil {
		return nil, fmt.Errorf("not a %s: %w", kubeProxyKind, err)
	}
	if len(strict) > 0 {
		return nil, errors.Join(strict...)
	}
	setKubeProxyDefaults(&kp)
	return &kp, nil
}

// DefaultKubeProxy returns the configuration with all defaults, those of kube-proxy in its nftables mode
// (k8s.io/kubernetes/pkg/proxy/apis/config/v1alpha1/defaults.go). The periods of the sync are zero, which asks for ours.
func DefaultKubeProxy() *KubeProxy {
	kp := &KubeProxy{}
	kp.APIVersion, kp.Kind = v1alpha1.SchemeGroupVersion.String(), kubeProxyKind
	kp.Mode = ModeNFTables
	setKubeProxyDefaults(kp)
	return kp
}

func setKubeProxyDefaults(kp *KubeProxy) {
	orDefault(&kp.BindAddress, "0.0.0.0")
	anyAddress, loopback := "0.0.0.0", "127.0.0.1"
	if isIPv6(kp.BindAddress) {
		anyAddress, loopback = "[::]", "[::1]"
	}
	kp.HealthzBindAddress = withPort(kp.HealthzBindAddress, anyAddress, "10256")
	kp.MetricsBindAddress = withPort(kp.MetricsBindAddress, loopback, "10249")
	orDefault(&kp.Switchyard.Quarantine, Switch(quarantine.On))
	orDefault(&kp.DetectLocalMode, LocalByClusterCIDR)
	orPointer(&kp.OOMScoreAdj, -999)
	orPointer(&kp.IPTables.MasqueradeBit, 14)
	orPointer(&kp.NFTables.MasqueradeBit, 14)
	orPointer(&kp.Conntrack.MaxPerCore, 32*1024)
	orPointer(&kp.Conntrack.Min, 128*1024)
	orPointer(&kp.Conntrack.TCPEstablishedTimeout, metav1.Duration{Duration: 24 * time.Hour})
	// CLOSE_WAIT must outlast the peers' own timeouts, or a reused port is refused (kubernetes/kubernetes#32551).
	orPointer(&kp.Conntrack.TCPCloseWaitTimeout, metav1.Duration{Duration: time.Hour})
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func orPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
