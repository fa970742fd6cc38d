package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/lab"
)

// size is what a node's kernel holds for a system: rules and chains of all tables and both families, without the chains
// that the kernel itself has, and what rules look up in.
type size struct {
	rules, chains  int
	elements       int // of nftables sets and of ipsets
	servers, reals int // IPVS's virtual and real servers
}

// nftTables are the tables that the systems make in nftables; those that iptables makes there are counted as iptables'.
func nftTables() []string {
	return []string{"switchyard", "switchyard-userspace", "switchyard-ipvs", "kube-proxy"}
}

// rulesetSize counts what the kernel has, so that nothing depends on what a system says of itself.
func (r *run) rulesetSize(ctx context.Context) (size, error) {
	var s size
	var errs []error
	if !r.system.guest { // whose kernel has no nftables for IP
		errs = append(errs, r.network.node.Do(func() error { return s.countTables(ctx) }))
	}
	if strings.HasPrefix(r.system.mode, "iptables") || r.system.guest {
		for _, family := range []string{"iptables", "ip6tables"} {
			program := filepath.Join(r.dir, r.system.variant(), family+"-save")
			errs = append(errs, countLines(ctx, r.network.node, s.countSaved, program))
		}
		errs = append(errs, countLines(ctx, r.network.node, s.countSet, "ipset", "save"))
	}
	if r.system.guest {
		errs = append(errs, countLines(ctx, r.network.node, s.countServer, "ipvsadm", "--save", "--numeric"))
	}
	return s, errors.Join(errs...)
}

// countTables counts in nftables, in the network namespace of the thread.
func (s *size) countTables(ctx context.Context) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, name := range nftTables() {
		for _, family := range []nft.Family{nft.IPv4, nft.IPv6} {
			if err := s.countTable(ctx, conn, nft.Table{Family: family, Name: name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *size) countTable(ctx context.Context, conn *nft.Conn, t nft.Table) error {
	listing, err := conn.List(ctx, t)
	if err != nil || listing == nil {
		return err
	}
	s.rules += len(listing.Rules)
	s.chains += len(listing.Chains)
	for _, set := range listing.Sets {
		n := 0
		if err := conn.Elements(ctx, t, set.Name, func() { n = 0 }, func(nft.Element) { n++ }); err != nil {
			return err
		}
		s.elements += n
	}
	return nil
}

// countLines runs a program in a namespace and passes on the lines that it prints.
func countLines(ctx context.Context, ns *lab.Namespace, count func(line []byte), name string, args ...string) error {
	out, err := ns.Command(ctx, name, args...).Output()
	if err != nil {
		return fmt.Errorf("count with %s: %w", name, err)
	}
	for line := range bytes.Lines(out) {
		count(line)
	}
	return nil
}

// countSaved takes a line of iptables-save: chains of the kernel's own have a policy, others a dash.
func (s *size) countSaved(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("-A ")):
		s.rules++
	case bytes.HasPrefix(line, []byte(":")) && bytes.Contains(line, []byte(" - [")):
		s.chains++
	}
}

// countSet takes a line of ipset save.
func (s *size) countSet(line []byte) {
	if bytes.HasPrefix(line, []byte("add ")) {
		s.elements++
	}
}

// countServer takes a line of ipvsadm --save.
func (s *size) countServer(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("-A ")):
		s.servers++
	case bytes.HasPrefix(line, []byte("-a ")):
		s.reals++
	}
}
