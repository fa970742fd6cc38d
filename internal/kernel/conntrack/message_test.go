package conntrack

import (
	"net/netip"
	"testing"

	"github.com/switchyard-net/switchyard/internal/model"
)

// FuzzMessages feeds arbitrary datagrams to the parser: it must neither panic nor loop.
func FuzzMessages(f *testing.F) {
	flow := Flow{
		Source:      netip.MustParseAddrPort("192.0.2.1:1000"),
		Destination: netip.MustParseAddrPort("192.0.2.2:53"),
		ID:          7,
	}
	f.Add(deleteRequest(flow).marshal(1))
	flow.Source, flow.Destination = netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2")
	f.Add(deleteRequest(flow).marshal(1))
	f.Add(lookupRequest(Connection{Flow: flow, Protocol: model.TCP}).marshal(1))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		for m := range messages(datagram) {
			_ = m.err()
			if flow, ok := parseUDPFlow(m.payload); ok && !flow.Source.Addr().IsValid() {
				t.Errorf("a flow without a source: %v", flow)
			}
		}
	})
}

// TestTupleSurvivesEncoding reads back what is sent to name a flow.
func TestTupleSurvivesEncoding(t *testing.T) {
	for _, pair := range [][2]string{{"192.0.2.1:1000", "192.0.2.2:53"}, {"[2001:db8::1]:1", "[2001:db8::2]:65535"}} {
		src, dst := netip.MustParseAddrPort(pair[0]), netip.MustParseAddrPort(pair[1])
		if got := parseTuple(marshalTuple(model.SCTP, src, dst)); got.src() != src || got.dst() != dst || got.protocol != 132 {
			t.Errorf("%s > %s came back as %+v", src, dst, got)
		}
	}
}
