package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dnsHeader = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

func TestDNSOfTheFile(t *testing.T) {
	kp, err := ParseKubeProxy(strings.NewReader(dnsHeader + "switchyard: {dns: {enabled: true, localAddresses: [169.254.20.10], nodeAddresses: true}}"))
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := FromKubeProxy(kp, "n1")
	if err != nil {
		t.Fatal(err)
	}
	want := DNS{Enabled: true, LocalAddresses: []string{"169.254.20.10"}, NodeAddresses: true}
	if diff := cmp.Diff(want, n.DNS); diff != "" {
		t.Error(diff)
	}
	for text, field := range map[string]string{
		"{enabled: true, service: kube-dns}":  "switchyard.dns.service",
		"{localAddresses: [8.8.8.8]}":         "switchyard.dns.localAddresses[0]",
		"{localAddresses: [10.0.0.1, words]}": "switchyard.dns.localAddresses[1]",
	} {
		kp, err := ParseKubeProxy(strings.NewReader(dnsHeader + "switchyard: {dns: " + text + "}"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := FromKubeProxy(kp, "n1"); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want an error of %s", text, err, field)
		}
	}
}
