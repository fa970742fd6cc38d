package source

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestInternerSharesAndForgets(t *testing.T) {
	n := newInterner()
	first := n.of(fmt.Sprint("zone-", 1))
	if again := n.of(fmt.Sprint("zone-", 1)); unsafe.StringData(again) != unsafe.StringData(first) {
		t.Error("equal strings have two memories")
	}
	for i := range 10 * generationSize {
		n.of(fmt.Sprint("name of the past ", i))
		n.of("zone-1") // is in use all the time, and must stay the same
	}
	if again := n.of(fmt.Sprint("zone-", 1)); unsafe.StringData(again) != unsafe.StringData(first) {
		t.Error("a string in use was forgotten")
	}
	if held := len(n.strings.young) + len(n.strings.old); held > 2*generationSize {
		t.Errorf("%d strings are held, want %d at most", held, 2*generationSize)
	}
}

func TestEndpointsShareTheirPlacement(t *testing.T) {
	c := converter{strings: newInterner()}
	a, b := c.endpointSlice(testSlice("a", "x", "10.0.0.1", "10.0.0.2")), c.endpointSlice(testSlice("b", "y", "10.0.0.3"))
	shared := a.Endpoints[0].Placement
	for _, e := range []model.Endpoint{a.Endpoints[1], b.Endpoints[0]} {
		if e.Placement != shared {
			t.Errorf("%s has a placement of its own: %+v", e.Addr, e.Placement)
		}
	}
}
