package node

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard-net/switchyard/internal/kernel/localdns"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// dnsPatience is for what a loaded machine takes its time for.
const dnsPatience = time.Minute

// addDNS adds the Service of the cluster DNS, which has no endpoints, its Namespaces, and a pod of this node.
func addDNS(objects map[string]any) {
	services := objects["services"].(*corev1.ServiceList)
	services.Items = append(services.Items, corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns", UID: "kube-dns"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10"}, Ports: []corev1.ServicePort{
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		}},
	})
	objects["namespaces"] = &corev1.NamespaceList{Items: []corev1.Namespace{
		{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, {ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}},
	}}
	objects["pods"] = &corev1.PodList{Items: []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "client"},
		Spec:       corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.244.1.2"}}},
	}}}
}

// question asks from a namespace, and returns the answers on one line or the error.
func question(t *testing.T, from *lab.Namespace, network, server, name string) string {
	t.Helper()
	conn, err := from.Dial(t.Context(), network, netip.MustParseAddrPort(server))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	client := &dns.Client{Net: network, Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeWithConn(m, &dns.Conn{Conn: conn})
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, rr := range reply.Answer {
		all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return fmt.Sprint(dns.RcodeToString[reply.Rcode], " ", strings.Join(all, " "))
}

// eventually asks until it gets an answer.
func eventually(t *testing.T, from *lab.Namespace, network, server, name, want string) {
	t.Helper()
	for deadline := time.Now().Add(dnsPatience); ; time.Sleep(50 * time.Millisecond) {
		got := question(t, from, network, server, name)
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s for %s: %s, want %s", server, name, got, want)
		}
	}
}

func TestServesTheClusterDNSOnTheNode(t *testing.T) {
	topology := lab.ForTest(t)
	lan := topology.LAN("lan")
	node, pod := topology.Host(lan, "node", "10.244.1.1/24"), topology.Host(lan, "pod", "10.244.1.2/24")
	topology.Must(topology.LAN("uplink").Join(node, "eth1", netip.MustParsePrefix("192.0.2.11/24")))
	topology.Must(node.SetSysctl("net.ipv4.ip_forward", "1"))
	topology.Must(pod.AddDefaultRoute(netip.MustParseAddr("10.244.1.1")))
	const web, service, local = "web.default.svc.cluster.local.", "10.96.0.10:53", "169.254.20.10:53"

	p := startNode(t, node, "dns")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.output)
		}
	})
	for _, network := range []string{"udp", "tcp"} {
		eventually(t, pod, network, service, web, "10.96.0.80")
	}
	eventually(t, pod, "udp", local, web, "10.96.0.80")
	// The pod's search list is walked here: the pod has asked for web.default.
	eventually(t, pod, "udp", service, "web.default.default.svc.cluster.local.", "web.default.svc.cluster.local. 10.96.0.80")

	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	eventually(t, pod, "udp", service, web, "refused") // as a Service without endpoints

	p = startNode(t, node, "dns")
	eventually(t, pod, "udp", service, web, "10.96.0.80")
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	out, err := node.Command(t.Context(), "nft", "list", "tables").CombinedOutput()
	if err != nil || strings.Contains(string(out), localdns.Table) {
		t.Errorf("tables after the end: %s %v", out, err)
	}
}
