package node

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/switchyard-net/switchyard/internal/source"
)

// listed are this node, a Service with two endpoints, and its network, by resource.
func listed() map[string]any {
	name, port, protocol := "http", int32(8080), corev1.ProtocolTCP
	return map[string]any{
		"nodes": &corev1.NodeList{Items: []corev1.Node{{
			ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "n1"},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.11"}}},
		}}},
		"servicecidrs": &networkingv1.ServiceCIDRList{Items: []networkingv1.ServiceCIDR{{
			ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/16"}},
		}}},
		"services": &corev1.ServiceList{Items: []corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"},
			Spec: corev1.ServiceSpec{
				ClusterIP: "10.96.0.80", ClusterIPs: []string{"10.96.0.80"}, Ports: []corev1.ServicePort{{Name: name, Port: 80, Protocol: protocol}},
			},
		}}},
		"endpointslices": &discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{"kubernetes.io/service-name": "web"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.50"}}, {Addresses: []string{"192.0.2.51"}}},
		}}},
	}
}

// serveCluster is an API server on loopback that has the listed objects and more, and to which nothing ever happens.
func serveCluster(more ...func(map[string]any)) (client kubernetes.Interface, stop func(), err error) {
	objects := listed()
	for _, add := range more {
		add(objects)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, ok := objects[path.Base(r.URL.Path)]
		switch query := r.URL.Query(); {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		case query.Get("sendInitialEvents") == "true":
			w.WriteHeader(http.StatusBadRequest) // as API servers before 1.27
		case query.Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			_ = json.NewEncoder(w).Encode(withVersion(list))
		}
	}))
	client, err = source.NewClient(&rest.Config{Host: server.URL})
	return client, server.CloseClientConnections, err
}

// withVersion sets what a list of a real API server has, and one of objects alone lacks.
func withVersion(list any) any {
	list.(metav1.ListInterface).SetResourceVersion("1")
	return list
}
