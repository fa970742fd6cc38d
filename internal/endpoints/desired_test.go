package endpoints

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/switchyard-net/switchyard/internal/endpoints/endpointstest"
)

// address returns the Endpoints address of a pod of endpointstest.Pod.
func address(pod, ip string, change ...func(*corev1.EndpointAddress)) corev1.EndpointAddress {
	a := corev1.EndpointAddress{
		IP: ip, NodeName: new("node-1"),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: pod, UID: types.UID("pod-" + pod)},
	}
	for _, c := range change {
		c(&a)
	}
	return a
}

func port(name string, number int32) corev1.EndpointPort {
	return corev1.EndpointPort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
}

// TestDesiredSubsets has the cases of upstream's endpoints_controller_test.go.
func TestDesiredSubsets(t *testing.T) {
	ready := corev1.EndpointSubset{
		Addresses: []corev1.EndpointAddress{address("p", "10.0.0.1")}, Ports: []corev1.EndpointPort{port("http", 8080)},
	}
	notReady := corev1.EndpointSubset{NotReadyAddresses: ready.Addresses, Ports: ready.Ports}
	pod := func(change ...func(*corev1.Pod)) []*corev1.Pod {
		return []*corev1.Pod{endpointstest.Pod("p", "10.0.0.1", change...)}
	}
	terminating := func(p *corev1.Pod) { p.DeletionTimestamp = new(endpointstest.Epoch()) }
	publish := func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }
	for name, c := range map[string]struct {
		service func(*corev1.Service)
		pods    []*corev1.Pod
		want    []corev1.EndpointSubset
	}{
		"ready":                          {nil, pod(), []corev1.EndpointSubset{ready}},
		"not ready":                      {nil, pod(endpointstest.SetReady(false)), []corev1.EndpointSubset{notReady}},
		"not ready, published":           {publish, pod(endpointstest.SetReady(false)), []corev1.EndpointSubset{ready}},
		"terminating":                    {nil, pod(terminating), []corev1.EndpointSubset{}},
		"terminating, published":         {publish, pod(terminating), []corev1.EndpointSubset{ready}},
		"failed":                         {nil, pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), []corev1.EndpointSubset{}},
		"succeeded, published":           {publish, pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), []corev1.EndpointSubset{}},
		"no address":                     {nil, pod(func(p *corev1.Pod) { p.Status.PodIP, p.Status.PodIPs = "", nil }), []corev1.EndpointSubset{}},
		"no address of the family":       {func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} }, pod(), []corev1.EndpointSubset{}},
		"no families, headless":          {func(s *corev1.Service) { s.Spec.IPFamilies, s.Spec.ClusterIP = nil, corev1.ClusterIPNone }, pod(), []corev1.EndpointSubset{ready}},
		"no families, no cluster IP":     {func(s *corev1.Service) { s.Spec.IPFamilies, s.Spec.ClusterIP = nil, "" }, pod(), []corev1.EndpointSubset{ready}},
		"no families, IPv6 cluster IP":   {func(s *corev1.Service) { s.Spec.IPFamilies, s.Spec.ClusterIP = nil, "fd00::a" }, pod(), []corev1.EndpointSubset{}},
		"address with leading zeros":     {nil, pod(func(p *corev1.Pod) { p.Status.PodIPs[0].IP = "010.000.000.001" }), []corev1.EndpointSubset{ready}},
		"named port that no pod has":     {func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromString("grpc") }, pod(), []corev1.EndpointSubset{}},
		"headless without ports":         {func(s *corev1.Service) { s.Spec.Ports, s.Spec.ClusterIP = nil, corev1.ClusterIPNone }, pod(), []corev1.EndpointSubset{{Addresses: ready.Addresses}}},
		"no ports, not headless":         {func(s *corev1.Service) { s.Spec.Ports = nil }, pod(), []corev1.EndpointSubset{}},
		"host name of another subdomain": {nil, pod(func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "h", "other" }), []corev1.EndpointSubset{ready}},
		"host name": {nil, pod(func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "h", "web" }), []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{address("p", "10.0.0.1", func(a *corev1.EndpointAddress) { a.Hostname = "h" })},
			Ports:     ready.Ports,
		}}},
		"host network: two pods of one address": {nil, []*corev1.Pod{endpointstest.Pod("q", "10.0.0.1"), endpointstest.Pod("p", "10.0.0.1")}, []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{address("p", "10.0.0.1"), address("q", "10.0.0.1")}, Ports: ready.Ports,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			service := endpointstest.Service("web")
			if c.service != nil {
				c.service(service)
			}
			got, truncated := desiredSubsets(service, c.pods)
			if diff := cmp.Diff(c.want, got); diff != "" || truncated {
				t.Errorf("truncated: %t, subsets (-want +got):\n%s", truncated, diff)
			}
		})
	}
}

// TestTrimmedObjectsGiveTheSame: whatever the transform drops, no endpoint depends on it.
func TestTrimmedObjectsGiveTheSame(t *testing.T) {
	pod := endpointstest.Pod("p", "10.0.0.1", func(p *corev1.Pod) {
		p.Spec.Hostname, p.Spec.Subdomain = "h", "web"
		p.Spec.Containers = append([]corev1.Container{{Name: "first", Image: "image"}}, p.Spec.Containers...)
		p.Spec.InitContainers = []corev1.Container{
			{Ports: []corev1.ContainerPort{{Name: "side", ContainerPort: 1, Protocol: corev1.ProtocolTCP}}}, // runs once
			{
				RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
				Ports:         []corev1.ContainerPort{{ContainerPort: 9}, {Name: "side", ContainerPort: 2, Protocol: corev1.ProtocolTCP}},
			},
		}
		p.Status.Conditions = append([]corev1.PodCondition{{Type: corev1.PodScheduled}}, p.Status.Conditions...)
	})
	service := endpointstest.Service("web", func(s *corev1.Service) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Name: "side", Port: 81, TargetPort: intstr.FromString("side"), Protocol: corev1.ProtocolTCP,
		})
	})
	want, _ := desiredSubsets(service, []*corev1.Pod{pod})
	trimmed, err := trim(pod.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	again, err := trim(trimmed) // an informer may transform an object twice
	if err != nil {
		t.Fatal(err)
	}
	got, _ := desiredSubsets(service, []*corev1.Pod{again.(*corev1.Pod)})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subsets of the trimmed pod (-whole +trimmed):\n%s", diff)
	}
	if len(want) != 1 || len(want[0].Ports) != 2 {
		t.Errorf("the test's pod should offer both ports in one subset, and gives %v", want)
	}
}

func TestLabelsOfEndpoints(t *testing.T) {
	labelled := endpointstest.Service("web", func(s *corev1.Service) { s.Labels = map[string]string{"team": "x"} })
	expect(t, "with a cluster IP", desiredLabels(labelled), map[string]string{
		"team": "x", "endpoints.kubernetes.io/managed-by": "endpoint-controller",
	})
	headless := endpointstest.Service("web", func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone })
	expect(t, "headless", desiredLabels(headless), map[string]string{
		"service.kubernetes.io/headless": "", "endpoints.kubernetes.io/managed-by": "endpoint-controller",
	})
	expect(t, "the Service's own labels after", labelled.Labels, map[string]string{"team": "x"})
}

// TestTruncate has upstream's TestTruncateEndpoints: ready addresses before others, subsets in proportion.
func TestTruncate(t *testing.T) {
	subset := func(ready, notReady int) corev1.EndpointSubset {
		return corev1.EndpointSubset{
			Addresses: make([]corev1.EndpointAddress, ready), NotReadyAddresses: make([]corev1.EndpointAddress, notReady),
		}
	}
	for _, c := range []struct {
		in        []corev1.EndpointSubset
		want      string
		truncated bool
	}{
		{[]corev1.EndpointSubset{subset(500, 500)}, "500+500", false},
		{[]corev1.EndpointSubset{subset(1200, 0)}, "1000+0", true},
		{[]corev1.EndpointSubset{subset(1200, 800)}, "1000+0", true},
		{[]corev1.EndpointSubset{subset(500, 501), subset(100, 0)}, "500+400 100+0", true},
		{[]corev1.EndpointSubset{subset(400, 500), subset(400, 500)}, "400+100 400+100", true},
		{[]corev1.EndpointSubset{subset(900, 1), subset(700, 1), subset(1, 1)}, "563+0 437+0 0+0", true},
	} {
		before := sizes(c.in)
		got, truncated := truncate(c.in)
		if sizes(got) != c.want || truncated != c.truncated {
			t.Errorf("truncate(%s) = %s, %t; want %s, %t", before, sizes(got), truncated, c.want, c.truncated)
		}
	}
}

func sizes(subsets []corev1.EndpointSubset) string {
	var text string
	for i, subset := range subsets {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("%d+%d", len(subset.Addresses), len(subset.NotReadyAddresses))
	}
	return text
}

// TestRepack has upstream's TestRepackSubsets.
func TestRepack(t *testing.T) {
	ip := func(ips ...string) []corev1.EndpointAddress {
		var list []corev1.EndpointAddress
		for _, ip := range ips {
			list = append(list, corev1.EndpointAddress{IP: ip})
		}
		return list
	}
	ports := func(numbers ...int32) []corev1.EndpointPort {
		var list []corev1.EndpointPort
		for _, number := range numbers {
			list = append(list, corev1.EndpointPort{Port: number})
		}
		return list
	}
	for name, c := range map[string]struct{ in, want []corev1.EndpointSubset }{
		"nothing":        {nil, []corev1.EndpointSubset{}},
		"no addresses":   {[]corev1.EndpointSubset{{Ports: ports(111)}}, []corev1.EndpointSubset{}},
		"no ports":       {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.4")}}, []corev1.EndpointSubset{{Addresses: ip("1.2.3.4")}}},
		"same twice":     {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.4", "1.2.3.4"), Ports: ports(111, 111)}}, []corev1.EndpointSubset{{Addresses: ip("1.2.3.4"), Ports: ports(111)}}},
		"split by port":  {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.4"), Ports: ports(111)}, {Addresses: ip("5.6.7.8"), Ports: ports(111)}}, []corev1.EndpointSubset{{Addresses: ip("1.2.3.4", "5.6.7.8"), Ports: ports(111)}}},
		"unready wins":   {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.4"), NotReadyAddresses: ip("1.2.3.4"), Ports: ports(111)}}, []corev1.EndpointSubset{{NotReadyAddresses: ip("1.2.3.4"), Ports: ports(111)}}},
		"order as text":  {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.10", "1.2.3.9"), Ports: ports(111)}}, []corev1.EndpointSubset{{Addresses: ip("1.2.3.10", "1.2.3.9"), Ports: ports(111)}}},
		"equal in value": {[]corev1.EndpointSubset{{Addresses: ip("1.2.3.4"), Ports: []corev1.EndpointPort{{Port: 1, AppProtocol: new("h")}}}, {Addresses: ip("1.2.3.5"), Ports: []corev1.EndpointPort{{Port: 1, AppProtocol: new("h")}}}}, []corev1.EndpointSubset{{Addresses: ip("1.2.3.4", "1.2.3.5"), Ports: []corev1.EndpointPort{{Port: 1, AppProtocol: new("h")}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, repack(c.in)); diff != "" {
				t.Errorf("repack (-want +got):\n%s", diff)
			}
		})
	}
}
