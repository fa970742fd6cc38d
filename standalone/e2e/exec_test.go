package e2e

import (
	"strings"
	"testing"
)

func TestExecPassesInputOutputAndStatus(t *testing.T) {
	r := shared.run(t.Context(), "from outside", "exec", "client", "--", "sh", "-c", "cat; echo to stderr >&2; exit 42")
	if r.code != 42 || r.stdout != "from outside" || strings.TrimSpace(r.stderr) != "to stderr" {
		t.Errorf("%s\nwant status 42, the input on stdout, and the message on stderr", r)
	}
}

func TestExecOfAMissingCommand(t *testing.T) {
	if r := shared.run(t.Context(), "", "exec", "client", "--", "no-such-command"); r.code != 127 {
		t.Errorf("%s\nwant status 127, as of a shell", r)
	}
}

func TestExecNamesTheNodesThereAre(t *testing.T) {
	r := shared.run(t.Context(), "", "exec", "node-3", "--", "true")
	if r.code == 0 || !strings.Contains(r.stderr, "node-1, node-2, and client") {
		t.Errorf("%s\nwant the names there are", r)
	}
}

func TestNodesAndClientAreOnOneNetwork(t *testing.T) {
	for where, address := range map[string]string{"node-1": "172.30.0.11", "node-2": "172.30.0.12", "client": "172.30.0.3"} {
		if out := shared.must(t, "exec", where, "--", "ip", "-brief", "address"); !strings.Contains(out, address+"/24") {
			t.Errorf("%s has these addresses, want %s among them:\n%s", where, address, out)
		}
	}
	routes := shared.must(t, "exec", "client", "--", "ip", "route")
	if lines := strings.Split(strings.TrimSpace(routes), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "172.30.0.0/24 dev eth0") {
		t.Errorf("the client has these routes, want that to the LAN only:\n%s", routes)
	}
	// A node has a default route, or its own processes could not try to reach a Service; but its router knows no way out.
	out := shared.run(t.Context(), "", "exec", "node-1", "--", "curl", "-sS", "--max-time", "20", "http://192.0.2.1/")
	if out.code == 0 || strings.Contains(out.stderr, "timed out") {
		t.Errorf("%s\nwant that nothing outside of the cluster can be reached, and that this is said at once", out)
	}
}
