package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// detector says when the replacement of an endpoint is in the kernel. Watching begins before the change is made.
type detector interface {
	// watch sends the time at which the change came into force, once, unless ctx ends before.
	watch(ctx context.Context, next change) <-chan time.Time
	close() error
}

// announcements detects changes of nftables by what the kernel announces after each commit: the one that carries the
// new endpoint's address. It costs the system under test nothing, and knows nothing of its ruleset.
type announcements struct {
	conn   *netlink.Conn
	wanted atomic.Pointer[wanted]
}

type wanted struct {
	address [4]byte
	found   chan time.Time
}

func newAnnouncements(node *lab.Namespace) (*announcements, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: node.FD()})
	if err != nil {
		return nil, fmt.Errorf("open netlink to hear of rule changes: %w", err)
	}
	err = errors.Join(
		conn.SetReadBuffer(16<<20),
		conn.SetOption(netlink.NoENOBUFS, true),
		conn.JoinGroup(unix.NFNLGRP_NFTABLES),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to rule changes: %w", err), conn.Close())
	}
	a := &announcements{conn: conn}
	go a.receive()
	return a, nil
}

func (a *announcements) receive() {
	for {
		messages, err := a.conn.Receive()
		if err != nil {
			return // closed
		}
		now := time.Now()
		wanted := a.wanted.Load()
		if wanted == nil {
			continue
		}
		for _, message := range messages {
			if bytes.Contains(message.Data, wanted.address[:]) && a.wanted.CompareAndSwap(wanted, nil) {
				wanted.found <- now
			}
		}
	}
}

func (a *announcements) watch(_ context.Context, next change) <-chan time.Time {
	w := &wanted{address: next.address.As4(), found: make(chan time.Time, 1)}
	a.wanted.Store(w)
	return w.found
}

func (a *announcements) close() error { return a.conn.Close() }

// connections detects a change of any kind of rules by connecting until the new endpoint answers: one connection in ten
// meets it. It lags by about two milliseconds, and costs some processor time.
type connections struct {
	client *lab.Namespace
	pause  time.Duration // between two attempts
}

// Pauses between two attempts: a guest has one processor, on which the system under test has to work too.
const (
	connectionPause = 200 * time.Microsecond
	guestPause      = 5 * time.Millisecond
)

func (c connections) watch(ctx context.Context, next change) <-chan time.Time {
	found := make(chan time.Time, 1)
	go func() {
		// Failed attempts are repeated, so the error is only that ctx has ended.
		_ = c.client.Do(func() error {
			for ctx.Err() == nil {
				address, err := ask(frontend(next.service), time.Second)
				if err == nil && address == next.address {
					found <- time.Now()
					return nil
				}
				time.Sleep(c.pause)
			}
			return ctx.Err()
		})
	}()
	return found
}

func (connections) close() error { return nil }

// answering waits until every one of the targets answers, and returns when the last of them began to. Each is tried
// once in pause.
func answering(ctx context.Context, client *lab.Namespace, targets []netip.AddrPort, pause time.Duration) (time.Time, error) {
	var last time.Time
	err := client.Do(func() error {
		for len(targets) > 0 {
			var silent []netip.AddrPort
			for _, target := range targets {
				if _, err := ask(target, 50*time.Millisecond); err != nil {
					silent = append(silent, target)
				} else {
					last = time.Now()
				}
			}
			targets = silent
			if err := ctx.Err(); err != nil && len(targets) > 0 {
				return fmt.Errorf("%d addresses do not answer, %s among them: %w", len(targets), targets[0], err)
			}
			time.Sleep(pause)
		}
		return nil
	})
	return last, err
}
