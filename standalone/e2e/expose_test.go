package e2e

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// A namespace plays the host here: the machine's own network is not for tests to change.
func TestExposeJoinsTheHost(t *testing.T) {
	host := lab.ForTest(t).Namespace("host")
	inHost := func(command ...string) (string, error) {
		out, err := host.Command(t.Context(), command[0], command[1:]...).CombinedOutput()
		return string(out), err
	}
	c := unusedDirectory(t)
	c.host = host
	c.must(t, "up", "--expose", "--timeout", patience.String())
	// 10256 is the health port of the service proxy on the node.
	if out, err := inHost("curl", "-sS", "--max-time", "10", "http://172.30.0.11:10256/livez"); err != nil {
		t.Errorf("reach a node from the host: %v\n%s", err, out)
	}
	// Another cluster cannot have the same network on the host.
	other := unusedDirectory(t)
	other.host = host
	if r := other.run(t.Context(), "", "up", "--expose"); r.code == 0 || !strings.Contains(r.stderr, "172.30.0.0/24 on swyd") {
		t.Errorf("%s\nwant a refusal that names the network and the interface", r)
	}
	c.must(t, "down")
	if out, err := inHost("ip", "link"); err != nil || strings.Contains(out, "swyd") {
		t.Errorf("interfaces of the host after down: %v\n%s", err, out)
	}
}

func TestTheHostIsNotJoinedUnasked(t *testing.T) {
	host := lab.ForTest(t).Namespace("host")
	c := unusedDirectory(t)
	c.host = host
	c.must(t, "up", "--timeout", patience.String())
	links, err := host.Netlink().LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, "swyd") {
			t.Errorf("interface %s", link.Attrs().Name)
		}
	}
	routes, err := host.Command(t.Context(), "ip", "route").Output()
	if err != nil || len(routes) > 0 {
		t.Errorf("routes of the host: %v\n%s", err, routes)
	}
}
