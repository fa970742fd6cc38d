package ipvs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// TestRetire leaves the mode: it is held for connections that are open, for those that have ended only a while.
func TestRetire(t *testing.T) {
	f := newFakes(t)
	b := newBackend(t, f.deps())
	b.memory = time.Hour
	web := service("web")
	web.Pools = []plan.Pool{pool(0, "10.1.0.5:8080")}
	web.Frontends = []plan.Frontend{frontend("10.96.0.1:80", 0, plan.MasqueradeNever)}
	mustSync(t, b, plan.Update{Plan: planOf(testNode(), web)})
	mark := newLayout(testNode().MasqueradeBit).route
	connection := func(state conntrack.TCPState, mark uint32) conntrack.Connection {
		return conntrack.Connection{
			Flow: conntrack.Flow{
				Source: netip.MustParseAddrPort("192.0.2.1:1000"), Destination: netip.MustParseAddrPort("10.96.0.1:80"),
			},
			Protocol: model.TCP, TCPState: state, Mark: mark,
		}
	}
	endpoint := netip.MustParseAddrPort("10.1.0.5:8080")
	steps := []struct {
		name       string
		tracked    []conntrack.Connection
		remembered uint32
		memory     time.Duration
		want       int
	}{
		{"open", []conntrack.Connection{connection(conntrack.Established, mark), connection(conntrack.TimeWait, mark)}, 2, 0, 1},
		{"another mode's are open", []conntrack.Connection{connection(conntrack.Established, 0)}, 2, time.Hour, 2},
		{"ended for long", []conntrack.Connection{connection(conntrack.LastACK, mark)}, 2, 0, 0},
		{"open again", []conntrack.Connection{connection(conntrack.Established, mark)}, 2, 0, 1},
		{"ended just now", []conntrack.Connection{connection(conntrack.Closed, mark)}, 2, time.Hour, 2},
		{"forgotten before conntrack does", []conntrack.Connection{connection(conntrack.Established, mark)}, 0, time.Hour, 0},
	}
	for _, s := range steps {
		f.tracker.Track(s.tracked...)
		f.servers.Connections = map[netip.AddrPort]uint32{endpoint: s.remembered}
		b.memory = s.memory
		if left, err := b.Retire(t.Context()); err != nil || left != s.want {
			t.Errorf("%s: %d, %v; want %d", s.name, left, err, s.want)
		}
	}
	saved, err := b.savedRules(t.Context(), b.families[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(saved, "mangle -A "+chainServices+" ") {
		t.Errorf("new connections still meet rules:\n%s", saved)
	}
	if !strings.Contains(saved, "mangle -A "+chainArriving+" ") {
		t.Errorf("further packets are not marked any more:\n%s", saved)
	}
}
