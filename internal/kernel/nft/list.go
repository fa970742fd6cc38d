package nft

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// errInterrupted is returned where a dump is inconsistent, since something was changed while it was read.
var errInterrupted = errors.New("dump interrupted by a change")

// dumpTries is how often a dump is begun anew when changes interrupt it.
const dumpTries = 10

// List returns the chains, sets and rules of a table; nil if there is no such table.
func (c *Conn) List(ctx context.Context, t Table) (*Listing, error) {
	var there bool
	err := c.get(ctx, unix.NFT_MSG_GETTABLE, t.Family, 0, func(w *writer) { w.text(unix.NFTA_TABLE_NAME, t.Name) },
		func(message) error { there = true; return nil })
	if IsNotExist(err) || err == nil && !there {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", t, err)
	}
	l := &Listing{}
	for range dumpTries {
		if err = c.list(ctx, t, l); !errors.Is(err, errInterrupted) {
			break
		}
		*l = Listing{}
	}
	if IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t, err)
	}
	return l, nil
}

func (c *Conn) list(ctx context.Context, t Table, l *Listing) error {
	err := c.get(ctx, unix.NFT_MSG_GETCHAIN, t.Family, unix.NLM_F_DUMP, nil, func(m message) error {
		chain, table, err := decodeChain(m.body)
		if table == t.Name {
			l.Chains = append(l.Chains, chain)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = c.get(ctx, unix.NFT_MSG_GETSET, t.Family, unix.NLM_F_DUMP,
		func(w *writer) { w.text(unix.NFTA_SET_TABLE, t.Name) },
		func(m message) error {
			set, table, err := decodeSet(m.body)
			if table == t.Name {
				l.Sets = append(l.Sets, set)
			}
			return err
		})
	if err != nil {
		return err
	}
	return c.get(ctx, unix.NFT_MSG_GETRULE, t.Family, unix.NLM_F_DUMP,
		func(w *writer) { w.text(unix.NFTA_RULE_TABLE, t.Name) },
		func(m message) error {
			if textOf(m.body, unix.NFTA_RULE_TABLE) != t.Name {
				return nil
			}
			rule, err := decodeRule(m.body)
			l.Rules = append(l.Rules, rule)
			return err
		})
}

// Elements calls visit with each element of a set. If the set is changed meanwhile, it begins anew, after a call of
// restart.
func (c *Conn) Elements(ctx context.Context, t Table, set string, restart func(), visit func(Element)) error {
	var err error
	for range dumpTries {
		err = c.get(ctx, unix.NFT_MSG_GETSETELEM, t.Family, unix.NLM_F_DUMP,
			func(w *writer) {
				w.text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
				w.text(unix.NFTA_SET_ELEM_LIST_SET, set)
			},
			func(m message) error {
				return decodeElements(m.body, func(e Element, _, _ int) error { visit(e); return nil })
			})
		if !errors.Is(err, errInterrupted) {
			break
		}
		restart()
	}
	if err != nil {
		return fmt.Errorf("list the elements of %s in %s: %w", set, t, err)
	}
	return nil
}

// Generation returns the number of the ruleset's generation, which every transaction of any program increments.
func (c *Conn) Generation(ctx context.Context) (id uint32, err error) {
	err = c.get(ctx, unix.NFT_MSG_GETGEN, unix.AF_UNSPEC, 0, nil, func(m message) error {
		return attrs(m.body, func(typ uint16, value []byte) error {
			if typ == unix.NFTA_GEN_ID {
				id = be32(value)
			}
			return nil
		})
	})
	if err != nil {
		return 0, fmt.Errorf("read the ruleset's generation: %w", err)
	}
	return id, nil
}

// get sends a request and calls visit with each message of the answer: one, or with NLM_F_DUMP in flags all of a list.
func (c *Conn) get(ctx context.Context, typ uint16, f Family, flags uint16, fill func(*writer), visit func(message) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.seq++
	if flags&unix.NLM_F_DUMP == 0 {
		flags |= unix.NLM_F_ACK
	}
	tx := Transaction{seq: c.seq}
	tx.header(unix.NFNL_SUBSYS_NFTABLES<<8|typ, f, flags, 0)
	if fill != nil {
		fill(&tx.w)
	}
	tx.end()
	if err := c.send(tx.w.buf); err != nil {
		return err
	}
	var failed error
	for {
		data, err := c.read(false)
		if err != nil {
			return err
		}
		done := false
		err = messages(data, func(m message) error {
			if m.seq != c.seq {
				return nil
			}
			last, err := c.answer(m, visit)
			if failed == nil {
				failed = err
			}
			done = done || last
			return nil
		})
		if err = errors.Join(failed, err); done || err != nil && failed == nil {
			return err
		}
	}
}

// answer handles a message of an answer, and says whether it is the last.
func (c *Conn) answer(m message, visit func(message) error) (last bool, err error) {
	switch m.typ {
	case unix.NLMSG_ERROR, unix.NLMSG_DONE:
		if errno := errorCode(m); errno != 0 {
			return true, errno
		}
		if m.flags&unix.NLM_F_DUMP_INTR != 0 {
			err = errInterrupted
		}
		return true, err
	}
	if m.flags&unix.NLM_F_DUMP_INTR != 0 {
		err = errInterrupted
	}
	return false, errors.Join(err, visit(m))
}
