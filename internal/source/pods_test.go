package source

import (
	"net/netip"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/switchyard-net/switchyard/internal/model"
)

// testPod is a pod of namespace shop.
func testPod(name, node string, ips ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}}}
	pod.Spec.NodeName = node
	for _, ip := range ips {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	return pod
}

func TestPodsByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, _, client := serve(t, runtime.ContentTypeProtobuf)
		api.put(testPod("a", "node-1", "10.1.0.1", "fd00::1"))
		api.put(testPod("elsewhere", "node-2", "10.1.0.2"))
		host := testPod("host", "node-1", "192.0.2.1")
		host.Spec.HostNetwork = true
		api.put(host)
		done := testPod("done", "node-1", "10.1.0.3")
		done.Status.Phase = corev1.PodSucceeded
		api.put(done)
		src, _ := start(t, client, Config{Kinds: []Kind{Pods}, NodeName: "node-1", Labels: true})
		synctest.Wait()
		check := func(want map[string]string) {
			t.Helper()
			for addr, name := range want {
				pod, ok := src.PodAt(netip.MustParseAddr(addr))
				if ok != (name != "") || ok && pod.Ref != (model.Ref{Namespace: "shop", Name: name}) {
					t.Errorf("%s is %+v, %t; want %q", addr, pod, ok, name)
				}
			}
		}
		check(map[string]string{"10.1.0.1": "a", "fd00::1": "a", "10.1.0.2": "", "192.0.2.1": "", "10.1.0.3": ""})
		if pod, _ := src.PodAt(netip.MustParseAddr("10.1.0.1")); pod.Labels != "app\x00a\x00" {
			t.Errorf("labels %q", pod.Labels)
		}
		// The address is another pod's before the first one is gone.
		api.put(testPod("b", "node-1", "10.1.0.1"))
		synctest.Wait()
		api.remove(Pods, refOf(testPod("a", "")))
		synctest.Wait()
		check(map[string]string{"10.1.0.1": "b", "fd00::1": ""})
		api.put(testPod("b", "node-1", "10.1.0.9"))
		synctest.Wait()
		check(map[string]string{"10.1.0.1": "", "10.1.0.9": "b"})
	})
}
