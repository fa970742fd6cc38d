package nft

import (
	"slices"

	"golang.org/x/sys/unix"
)

// fakeBatch is the ruleset as a transaction of a Fake changes it.
type fakeBatch struct {
	tables map[tableKey]*fakeTable
	late   bool
	noIPv6 bool
	lacks  []string
	// held and released are chains that stay in use although nothing leads to them: from the transaction before, and
	// by this one. Only where late is set.
	held, released []chainKey
}

// apply makes one change, or returns why not.
func (b *fakeBatch) apply(m message) unix.Errno {
	switch m.typ & 0xff {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		return b.table(m)
	}
	// The name of the table is the first attribute of all other messages.
	t, ok := b.tables[tableKey{m.family, textOf(m.body, unix.NFTA_CHAIN_TABLE)}]
	if !ok {
		return unix.ENOENT
	}
	switch m.typ & 0xff {
	case unix.NFT_MSG_NEWCHAIN:
		return b.addChain(t, m)
	case unix.NFT_MSG_DELCHAIN:
		return b.deleteChain(t, m)
	case unix.NFT_MSG_NEWRULE:
		return b.addRule(t, m)
	case unix.NFT_MSG_DELRULE:
		chain, ok := t.chains[textOf(m.body, unix.NFTA_RULE_CHAIN)]
		if !ok {
			return unix.ENOENT
		}
		chain.rules = nil
		return 0
	case unix.NFT_MSG_NEWSET:
		return t.addSet(m)
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		return b.elements(t, m)
	}
	return unix.EOPNOTSUPP
}

func (b *fakeBatch) table(m message) unix.Errno {
	t, err := decodeTable(m.family, m.body)
	if err != nil {
		return unix.EINVAL
	}
	key := tableKey{m.family, t.Name}
	_, there := b.tables[key]
	switch {
	case m.typ&0xff == unix.NFT_MSG_NEWTABLE && there:
		return unix.EEXIST
	case m.typ&0xff == unix.NFT_MSG_NEWTABLE:
		b.tables[key] = &fakeTable{comment: t.Comment, chains: map[string]*fakeChain{}, sets: map[string]*fakeSet{}}
	case !there:
		return unix.ENOENT
	default:
		delete(b.tables, key)
	}
	return 0
}

func (b *fakeBatch) addChain(t *fakeTable, m message) unix.Errno {
	c, _, err := decodeChain(m.body)
	if err != nil || c.Name == "" || len(c.Name) > 255 {
		return unix.EINVAL
	}
	if t.chains[c.Name] != nil {
		return unix.EEXIST
	}
	if c.Hook != nil && m.family == IPv6 && b.noIPv6 {
		return unix.EAFNOSUPPORT
	}
	t.chains[c.Name] = &fakeChain{Chain: c}
	return 0
}

func (b *fakeBatch) deleteChain(t *fakeTable, m message) unix.Errno {
	name := textOf(m.body, unix.NFTA_CHAIN_NAME)
	if t.chains[name] == nil {
		return unix.ENOENT
	}
	key := chainOf(m, name)
	if t.refers(name) || slices.Contains(b.held, key) || slices.Contains(b.released, key) {
		return unix.EBUSY
	}
	delete(t.chains, name)
	return 0
}

// chainOf returns a chain in the table that a message is about.
func chainOf(m message, name string) chainKey {
	return chainKey{tableKey{m.family, textOf(m.body, unix.NFTA_CHAIN_TABLE)}, name}
}

// refers reports whether anything but the chain itself leads to a chain.
func (t *fakeTable) refers(name string) bool {
	for _, c := range t.chains {
		for _, r := range c.rules {
			if target, _ := ruleReferences(r); c.Name != name && target == name {
				return true
			}
		}
	}
	for _, s := range t.sets {
		for _, e := range s.elements {
			if e.verdict.Chain == name {
				return true
			}
		}
	}
	return false
}

// ruleReferences returns the chain that a rule goes to and the sets that it looks into.
func ruleReferences(r Rule) (chain string, sets []string) {
	for _, e := range r.Exprs {
		switch e.Name {
		case "immediate":
			v, _ := decodeVerdict(e.nested(unix.NFTA_IMMEDIATE_DATA))
			chain = v.Chain
		case "lookup":
			sets = append(sets, cstring(e.attr(unix.NFTA_LOOKUP_SET)))
		case "dynset":
			sets = append(sets, cstring(e.attr(unix.NFTA_DYNSET_SET_NAME)))
		}
	}
	return chain, sets
}

func (b *fakeBatch) addRule(t *fakeTable, m message) unix.Errno {
	r, err := decodeRule(m.body)
	if err != nil {
		return unix.EINVAL
	}
	chain, ok := t.chains[r.Chain]
	if !ok {
		return unix.ENOENT
	}
	for _, e := range r.Exprs {
		if slices.Contains(b.lacks, e.Name) {
			return unix.ENOENT
		}
	}
	target, sets := ruleReferences(r)
	if target != "" && t.chains[target] == nil {
		return unix.ENOENT
	}
	for _, set := range sets {
		if t.sets[set] == nil {
			return unix.ENOENT
		}
	}
	chain.rules = append(chain.rules, r)
	return 0
}

func (t *fakeTable) addSet(m message) unix.Errno {
	s, _, err := decodeSet(m.body)
	if err != nil || s.Name == "" || s.KeyLen == 0 || s.KeyLen > 4*Registers {
		return unix.EINVAL
	}
	if t.sets[s.Name] != nil {
		return unix.EEXIST
	}
	t.sets[s.Name] = &fakeSet{s, map[string]fakeElement{}}
	return 0
}

func (b *fakeBatch) elements(t *fakeTable, m message) unix.Errno {
	s, ok := t.sets[textOf(m.body, unix.NFTA_SET_ELEM_LIST_SET)]
	if !ok {
		return unix.ENOENT
	}
	var errno unix.Errno
	err := decodeElements(m.body, func(e Element, _, _ int) error {
		if m.typ&0xff == unix.NFT_MSG_NEWSETELEM {
			errno = t.addElement(s, e)
		} else {
			errno = b.deleteElement(m, s, e)
		}
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil && errno == 0 {
		return unix.EINVAL
	}
	return errno
}

func (t *fakeTable) addElement(s *fakeSet, e Element) unix.Errno {
	if len(e.Key) != int(s.KeyLen) || len(e.Data) != int(s.DataLen) {
		return unix.EINVAL
	}
	if _, there := s.elements[string(e.Key)]; there {
		return unix.EEXIST
	}
	if e.Verdict.Chain != "" && t.chains[e.Verdict.Chain] == nil {
		return unix.ENOENT
	}
	if s.Size != 0 && len(s.elements) >= int(s.Size) {
		return unix.ENFILE
	}
	s.elements[string(e.Key)] = fakeElement{string(e.Data), e.Verdict}
	return 0
}

func (b *fakeBatch) deleteElement(m message, s *fakeSet, e Element) unix.Errno {
	old, there := s.elements[string(e.Key)]
	if !there {
		return unix.ENOENT
	}
	if b.late && old.verdict.Chain != "" {
		b.released = append(b.released, chainOf(m, old.verdict.Chain))
	}
	delete(s.elements, string(e.Key))
	return 0
}
