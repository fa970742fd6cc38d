// Package serviceenv makes the environment variables by which a process finds Services, as the kubelet gives them to containers
// (k8s.io/kubernetes/pkg/kubelet/envvars, and getServiceEnvVarMap of the kubelet).
package serviceenv

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Variables returns "NAME=value" for a process in a namespace, in order: those of the Services of the namespace that have a cluster
// IP, where links are enabled (enableServiceLinks), and of default/kubernetes in any case.
func Variables(snap *model.Snapshot, namespace string, links bool) []string {
	var all []string
	for ref, service := range snap.Services.All() {
		if len(service.ClusterIPs) == 0 || len(service.Ports) == 0 {
			continue
		}
		api := ref == model.Ref{Namespace: "default", Name: "kubernetes"}
		if !api && (!links || ref.Namespace != namespace || shadowed(snap, ref)) {
			continue
		}
		all = append(all, ofService(service)...)
	}
	slices.Sort(all)
	return all
}

// shadowed reports whether a Service of another namespace has the name of the API server's, which then wins.
func shadowed(snap *model.Snapshot, ref model.Ref) bool {
	api, ok := snap.Services.Get(model.Ref{Namespace: "default", Name: "kubernetes"})
	return ref.Name == "kubernetes" && ok && len(api.ClusterIPs) > 0
}

func ofService(s *model.Service) []string {
	name, ip := variableName(s.Ref.Name), s.ClusterIPs[0].String()
	first := s.Ports[0]
	all := []string{
		name + "_SERVICE_HOST=" + ip,
		name + "_SERVICE_PORT=" + port(first),
		name + "_PORT=" + url(first, ip),
	}
	for _, p := range s.Ports {
		if p.Name != "" {
			all = append(all, name+"_SERVICE_PORT_"+variableName(p.Name)+"="+port(p))
		}
		link := fmt.Sprintf("%s_PORT_%d_%s", name, p.Port, p.Protocol)
		all = append(all,
			link+"="+url(p, ip), link+"_PROTO="+strings.ToLower(p.Protocol.String()), link+"_PORT="+port(p), link+"_ADDR="+ip)
	}
	return all
}

func variableName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

func port(p model.ServicePort) string { return strconv.Itoa(int(p.Port)) }

func url(p model.ServicePort, ip string) string {
	return strings.ToLower(p.Protocol.String()) + "://" + net.JoinHostPort(ip, port(p))
}
