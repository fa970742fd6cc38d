package proxytest

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
	"github.com/switchyard-net/switchyard/internal/source"
)

// config is config.yaml of a scenario. Left out, it is a node on which all addresses answer on node ports and the pods
// are recognised by the cluster's pod network.
type config struct {
	NodePortAddresses []string     `json:"nodePortAddresses"`
	MasqueradeAll     bool         `json:"masqueradeAll"`
	DetectLocal       string       `json:"detectLocal"` // "none", "nodeCIDR", "interface NAME", "prefix NAME", or networks
	IgnoreExternalIPs bool         `json:"ignoreExternalIPs"`
	DropInvalid       bool         `json:"dropInvalid"`
	ExtraAddresses    []netip.Addr `json:"extraAddresses"` // further addresses of node-1, on its loopback interface
	plan              plan.Config
}

func parseConfig(text string) (config, error) {
	var c config
	if err := yaml.UnmarshalStrict([]byte(text), &c); err != nil {
		return c, err
	}
	nodePorts, err := plan.ParseNodePortAddresses(c.NodePortAddresses)
	if err != nil {
		return c, err
	}
	detect, err := parseDetectLocal(c.DetectLocal)
	if err != nil {
		return c, err
	}
	c.plan = plan.Config{
		NodeName: thisNode, NodePorts: nodePorts, LocalPods: detect, MasqueradeBit: 14,
		MasqueradeAll: c.MasqueradeAll, IgnoreExternalIPs: c.IgnoreExternalIPs, DropInvalid: c.DropInvalid,
	}
	return c, nil
}

func parseDetectLocal(text string) (plan.LocalPodDetection, error) {
	mode, name, _ := strings.Cut(text, " ")
	switch mode {
	case "":
		return plan.LocalPodDetection{ClusterCIDRs: podNetworks()}, nil
	case "none":
		return plan.LocalPodDetection{}, nil
	case "nodeCIDR":
		return plan.LocalPodDetection{NodeCIDR: true}, nil
	case "interface":
		return plan.LocalPodDetection{Interface: name}, nil
	case "prefix":
		return plan.LocalPodDetection{InterfacePrefix: name}, nil
	}
	return plan.LocalPodDetection{}, fmt.Errorf("detectLocal: %q is not known", text)
}

// objects is a cluster's state, built up from YAML, and what changed since the last snapshot.
type objects struct {
	snap    model.Snapshot
	changes model.Changes
}

// baseObjects returns the nodes and service CIDRs that every scenario has.
func baseObjects() (*objects, error) {
	data, err := testdata.ReadFile("testdata/cluster.yaml")
	if err != nil {
		return nil, err
	}
	o := &objects{changes: model.Changes{All: true}}
	return o, o.add(string(data))
}

// snapshot returns the present state, and what changed since the last call.
func (o *objects) snapshot() (*model.Snapshot, model.Changes) {
	o.snap.Version++
	snap, changes := o.snap, o.changes
	o.changes = model.Changes{}
	return &snap, changes
}

// add adds the objects of a YAML stream, replacing those of the same name.
func (o *objects) add(text string) error {
	for _, doc := range strings.Split("\n"+text, "\n---") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			return err
		}
		if err := o.addOne(kind.Kind, []byte(doc)); err != nil {
			return fmt.Errorf("%s: %w", kind.Kind, err)
		}
	}
	return nil
}

func (o *objects) addOne(kind string, doc []byte) error {
	switch kind {
	case "Service":
		s := new(corev1.Service)
		if err := yaml.UnmarshalStrict(doc, s); err != nil {
			return err
		}
		service := source.Service(s)
		o.snap.Services = o.snap.Services.With(service.Ref, service)
		o.touch(service.Ref)
	case "EndpointSlice":
		s := new(discoveryv1.EndpointSlice)
		if err := yaml.UnmarshalStrict(doc, s); err != nil {
			return err
		}
		if slice := source.EndpointSlice(s); slice != nil {
			o.setSlice(slice)
		}
	case "Node":
		n := new(corev1.Node)
		if err := yaml.UnmarshalStrict(doc, n); err != nil {
			return err
		}
		o.snap.Nodes = o.snap.Nodes.With(n.Name, source.Node(n))
		o.changes.Nodes = map[string]struct{}{n.Name: {}}
	case "ServiceCIDR":
		c := new(networkingv1.ServiceCIDR)
		if err := yaml.UnmarshalStrict(doc, c); err != nil {
			return err
		}
		o.snap.ServiceCIDRs = o.snap.ServiceCIDRs.With(c.Name, source.ServiceCIDR(c))
		o.changes.ServiceCIDRs = true
	default:
		return fmt.Errorf("kind %q is not part of the packet table", kind)
	}
	return nil
}

func (o *objects) touch(r model.Ref) {
	if o.changes.Services == nil {
		o.changes.Services = map[model.Ref]struct{}{}
	}
	o.changes.Services[r] = struct{}{}
}

// setSlice puts a slice in its place among those of its Service, which are ordered by name.
func (o *objects) setSlice(slice *model.EndpointSlice) {
	service := model.Ref{Namespace: slice.Ref.Namespace, Name: slice.Service}
	old, _ := o.snap.Slices.Get(service)
	var list []*model.EndpointSlice
	placed := false
	for _, s := range old {
		if !placed && s.Ref.Name >= slice.Ref.Name {
			list, placed = append(list, slice), true
		}
		if s.Ref != slice.Ref {
			list = append(list, s)
		}
	}
	if !placed {
		list = append(list, slice)
	}
	o.snap.Slices = o.snap.Slices.With(service, list)
	o.touch(service)
}

// remove deletes the objects named in the lines of a text: "Service NAMESPACE/NAME" or "ServiceCIDR NAME".
func (o *objects) remove(text string) error {
	for line := range strings.Lines(text) {
		switch f := strings.Fields(line); {
		case len(f) == 2 && f[0] == "Service":
			namespace, name, _ := strings.Cut(f[1], "/")
			ref := model.Ref{Namespace: namespace, Name: name}
			if _, ok := o.snap.Services.Get(ref); !ok {
				return fmt.Errorf("there is no Service %s", ref)
			}
			o.snap.Services = o.snap.Services.Without(ref)
			o.touch(ref)
		case len(f) == 2 && f[0] == "ServiceCIDR":
			o.snap.ServiceCIDRs = o.snap.ServiceCIDRs.Without(f[1])
			o.changes.ServiceCIDRs = true
		case len(f) != 0:
			return fmt.Errorf("%q: want Service NAMESPACE/NAME or ServiceCIDR NAME", strings.TrimSpace(line))
		}
	}
	return nil
}
