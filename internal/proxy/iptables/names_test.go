package iptables

import (
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/lab"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

func TestChainNames(t *testing.T) {
	for _, c := range []struct{ namespace, name, port, want string }{
		{"default", "web", "http", "SWYS-default/web:http"},
		{"default", "web", "", "SWYS-default/web"},
		{"kube-system", "kube-dns", "dns", "SWYS-kube-dns:dns~4uhcrhghkj"},
	} {
		ref := model.Ref{Namespace: c.namespace, Name: c.name}
		if got := poolName(ref, &plan.Pool{PortName: c.port, Protocol: model.TCP}); got != c.want {
			t.Errorf("%s:%s: chain %q, want %q", ref, c.port, got, c.want)
		}
	}
}

// TestNamesFromOutside gives the kernel the worst names: whatever they are, they stay parts of words.
func TestNamesFromOutside(t *testing.T) {
	worst := service("x\" -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n*nat")
	worst.Ref.Namespace = strings.Repeat("näme space'`$(reboot)\\", 20)
	worst.ClusterIPs = addrs("10.96.0.9")
	worst.Pools = []plan.Pool{poolOf(0, "10.1.0.9:80")}
	worst.Pools[0].Affinity = 1e9
	worst.Frontends = []plan.Frontend{frontend("10.96.0.9:80", 0, plan.MasqueradeAlways)}
	worst.Frontends[0].PortName = "\x00\t;"
	p := planOf(testNode(), append(everyFeature(), worst)...)
	for _, v := range variants() {
		t.Run(string(v), func(t *testing.T) {
			conn := connIn(t, lab.ForTest(t).Namespace("node"), v)
			mustSync(t, newBackend(t, conn, settings{}), plan.Update{Plan: p})
			compareWithFresh(t, conn, p)
		})
	}
}

// FuzzNames makes chains and comments of names, each of which must stay one word of a rule.
func FuzzNames(f *testing.F) {
	f.Add("default", "web", "http")
	f.Add("a\nb", "-j DROP", "\"")
	f.Add("", "", "")
	f.Add("\xff", strings.Repeat("x", 300), "é")
	word := regexp.MustCompile(`^[A-Za-z0-9._:/~-]{1,28}$`)
	quoted := regexp.MustCompile(`^-m comment --comment ("[A-Za-z0-9._:/~, -]{0,255}"|[A-Za-z0-9_-]{1,255})$`)
	f.Fuzz(func(t *testing.T, namespace, name, port string) {
		ref := model.Ref{Namespace: namespace, Name: name}
		s := &plan.Service{Ref: ref}
		front := &plan.Frontend{PortName: port, Key: plan.Key{Addr: addrs("10.0.0.1")[0], Port: 1, Protocol: model.UDP}}
		for _, chain := range []string{
			poolName(ref, &plan.Pool{PortName: port, Protocol: model.TCP}), fromHereName(s, front), firewallName(s, front),
		} {
			if !word.MatchString(chain) || !isOurs(chain) {
				t.Errorf("chain %q", chain)
			}
		}
		text := comment(frontendName(s, front))
		if !quoted.MatchString(text) {
			t.Errorf("comment %q", text)
		}
		if got := iptables.Target(text + " -j DROP"); got != "DROP" {
			t.Errorf("target %q after %q", got, text)
		}
	})
}
