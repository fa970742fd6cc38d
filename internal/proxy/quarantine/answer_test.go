package quarantine

import (
	"net/netip"
	"testing"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/model"
)

// TestAnswered tells the data of a process from what its kernel sends for it.
func TestAnswered(t *testing.T) {
	const seen = conntrack.SeenReply
	for _, c := range []struct {
		name     string
		protocol model.Protocol
		to       string
		status   conntrack.Status
		state    conntrack.TCPState
		packets  uint64
		bytes    uint64
		want     bool
	}{
		{"no SYN-ACK", model.TCP, "10.96.0.1:80", 0, 1, 0, 0, false},
		{"nobody counts", model.TCP, "10.96.0.1:80", seen, 3, 0, 0, true},
		{"SYN-ACK", model.TCP, "10.96.0.1:80", seen, 3, 1, 60, false},
		{"SYN-ACK and acknowledgements", model.TCP, "10.96.0.1:80", seen, 3, 4, 60 + 3*52, false},
		{"SYN-ACK and acknowledgements over IPv6", model.TCP, "[fd00::1]:80", seen, 3, 4, 80 + 3*72, false},
		{"one byte", model.TCP, "10.96.0.1:80", seen, 3, 2, 60 + 53, true},
		{"one byte over IPv6", model.TCP, "[fd00::1]:80", seen, 3, 2, 80 + 73, true},
		{"without timestamps", model.TCP, "10.96.0.1:80", seen, 3, 3, 52 + 2*40, false},
		{"a page without timestamps", model.TCP, "10.96.0.1:80", seen, 3, 3, 52 + 40 + 500, true},
		{"the client hung up", model.TCP, "10.96.0.1:80", seen, 5, 3, 60 + 2*52, false},
		{"both hung up", model.TCP, "10.96.0.1:80", seen, conntrack.TimeWait, 3, 60 + 2*52, true},
		{"a datagram", model.UDP, "10.96.0.1:53", 0, 0, 0, 0, false},
		{"datagrams both ways", model.UDP, "10.96.0.1:53", seen, 0, 1, 30, true},
	} {
		got := answered(conntrack.Connection{
			Flow: conntrack.Flow{Destination: netip.MustParseAddrPort(c.to)}, Protocol: c.protocol, Status: c.status, TCPState: c.state,
			Reply: conntrack.Traffic{Packets: c.packets, Bytes: c.bytes},
		})
		if got != c.want {
			t.Errorf("%s: answered is %t", c.name, got)
		}
	}
}

// TestVerdicts: an endpoint is silent only if both probes say so, probes mean something for it, and another one is not.
func TestVerdicts(t *testing.T) {
	serving, closing := []witness{{serves: true}}, []witness{{met: Unreachable}, {met: Answered}}
	dead, holding := []witness{{met: Unreachable}, {met: Mute}}, []witness{{met: Mute}}
	for _, c := range []struct {
		own       [2]Outcome
		learned   Outcome
		witnesses []witness
		want      Verdict
		reason    Outcome
	}{
		{[2]Outcome{Mute, Mute}, "", closing, Silent, Mute},
		{[2]Outcome{Mute, Answered}, Answered, closing, FalseAlarm, ""},
		{[2]Outcome{Answered, Unreachable}, Answered, closing, FalseAlarm, ""},
		{[2]Outcome{Unknown, Mute}, Answered, closing, Undecided, ""},
		{[2]Outcome{Unreachable, Refused}, "", closing, Silent, Refused},
		{[2]Outcome{Mute, Refused}, "", closing, Silent, Mute},
		{[2]Outcome{Mute, Mute}, "", serving, NoWitness, Mute}, // no telling whether a probe means anything
		{[2]Outcome{Mute, Mute}, Answered, serving, Silent, Mute},
		{[2]Outcome{Mute, Mute}, Mute, closing, Meaningless, Mute},
		{[2]Outcome{Mute, Mute}, Answered, dead, NoWitness, Mute},
		{[2]Outcome{Unreachable, Unreachable}, Mute, closing, Silent, Unreachable},
		{[2]Outcome{Unreachable, Unreachable}, Unreachable, closing, Meaningless, Unreachable},
		{[2]Outcome{Unreachable, Unreachable}, Answered, holding, Silent, Unreachable},
		{[2]Outcome{Unreachable, Unreachable}, Answered, nil, NoWitness, Unreachable},
		{[2]Outcome{Refused, Refused}, Refused, serving, Meaningless, Refused},
	} {
		if got, reason := (trial{own: c.own, witnesses: c.witnesses}).verdict(c.learned); got != c.want || reason != c.reason {
			t.Errorf("probes %v, learned %q, witnesses %v: %s, %q; want %s, %q", c.own, c.learned, c.witnesses, got, reason, c.want, c.reason)
		}
	}
}
