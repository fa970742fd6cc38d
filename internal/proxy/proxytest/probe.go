package proxytest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Probe is one line of the packet table.
type Probe struct {
	// Rules are the rules of docs/semantics.md that it shows.
	Rules  []int
	Packet plan.Packet
	Want   Expectation
	// from is the host that sends.
	from string
	line string
}

// Expectation is what must happen to a probe's packet.
type Expectation struct {
	Verdict plan.Verdict
	// Endpoints are the names of the endpoints that answer, in order, each of which must; true for those that see an
	// address of the node instead of the client's.
	Endpoints map[string]bool
	// Sticky is true where all connections of the client must reach the same endpoint.
	Sticky bool
	// Answers is who answers a packet that is left alone: a host, or "refused" for nobody. Empty: not looked at.
	Answers string
}

// String returns the probe as the table has it.
func (p Probe) String() string { return p.line }

// parseProbes reads the lines of a section: "[RULE RULE…] HOST[@ADDRESS] -> ADDRESS:PORT/PROTOCOL = EXPECTATION".
// Lines that start with # are comments.
func parseProbes(text string) ([]Probe, error) {
	var all []Probe
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p, err := parseProbe(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func parseProbe(line string) (Probe, error) {
	p := Probe{line: line}
	rules, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "]")
	if !ok {
		return p, fmt.Errorf("want the numbers of rules in brackets first")
	}
	for _, word := range strings.Fields(rules) {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 38 {
			return p, fmt.Errorf("rule %q: want a number from 1 to 38", word)
		}
		p.Rules = append(p.Rules, n)
	}
	packet, want, ok := strings.Cut(rest, " = ")
	from, to, ok2 := strings.Cut(packet, " -> ")
	if !ok || !ok2 || len(p.Rules) == 0 {
		return p, fmt.Errorf("want [RULES] FROM -> TO = EXPECTATION")
	}
	if err := p.parsePacket(strings.TrimSpace(from), strings.TrimSpace(to)); err != nil {
		return p, err
	}
	var err error
	p.Want, err = parseExpectation(want)
	return p, err
}

func (p *Probe) parsePacket(from, to string) error {
	address, protocol, _ := strings.Cut(to, "/")
	dst, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	p.Packet.To = dst
	switch protocol {
	case "TCP":
		p.Packet.Protocol = model.TCP
	case "UDP":
		p.Packet.Protocol = model.UDP
	case "SCTP":
		p.Packet.Protocol = model.SCTP
	default:
		return fmt.Errorf("protocol %q: want TCP, UDP or SCTP", protocol)
	}
	name, source, explicit := strings.Cut(from, "@")
	h, err := findHost(name)
	if err != nil {
		return err
	}
	p.from = name
	p.Packet.From = h.in(model.FamilyOf(dst.Addr()))
	p.Packet.FromNode, p.Packet.InInterface = h.name == thisNode, h.arrives
	if explicit {
		p.Packet.From, err = netip.ParseAddr(source)
	}
	return err
}

// parseExpectation reads "reject", "drop", "pass HOST", or endpoints with "kept" or "masqueraded", and "sticky", after
// commas. "NAME(masqueraded)" marks one endpoint that alone sees an address of the node.
func parseExpectation(text string) (Expectation, error) {
	clauses := strings.Split(text, ",")
	words := strings.Fields(clauses[0])
	if len(words) == 0 {
		return Expectation{}, fmt.Errorf("nothing is expected")
	}
	switch words[0] {
	case "reject":
		return Expectation{Verdict: plan.Reject}, nil
	case "drop":
		return Expectation{Verdict: plan.Drop}, nil
	case "pass":
		return Expectation{Verdict: plan.Pass, Answers: strings.Join(words[1:], " ")}, nil
	}
	e := Expectation{Endpoints: map[string]bool{}}
	source := ""
	for _, clause := range clauses[1:] {
		switch clause = strings.TrimSpace(clause); clause {
		case "kept", "masqueraded":
			source = clause
		case "sticky":
			e.Sticky = true
		default:
			return e, fmt.Errorf("%q: want kept, masqueraded or sticky", clause)
		}
	}
	if source == "" {
		return e, fmt.Errorf("want kept or masqueraded after the endpoints")
	}
	for _, word := range words {
		name, marked := strings.CutSuffix(word, "(masqueraded)")
		e.Endpoints[name] = marked || source == "masqueraded"
	}
	return e, nil
}

// expectation returns what a trace foretells, in the terms of the table.
func expectation(t plan.Trace) Expectation {
	e := Expectation{Verdict: t.Verdict, Sticky: t.Affinity > 0}
	if t.Pool == nil {
		return e
	}
	e.Endpoints = map[string]bool{}
	for _, endpoint := range t.Pool.Endpoints {
		e.Endpoints[endpointName(endpoint.Addr)] = t.MasqueradeTo(endpoint)
	}
	return e
}

// shows reports whether the probe is tagged with a rule.
func (p Probe) shows(rule int) bool { return slices.Contains(p.Rules, rule) }
