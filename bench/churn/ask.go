package churn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
)

// asker asks over one socket.
type asker struct {
	*run
	conn      net.Conn
	random    *rand.Rand
	questions [services][]byte // packed
	sent      [window]struct {
		service int
		at      time.Time
		open    bool
	}
	round  uint16
	buffer [4096]byte
}

// ask asks a share of the questions.
func (r *run) ask(ctx context.Context, number int) error {
	conn, err := r.config.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	a := &asker{run: r, conn: conn, random: rand.New(rand.NewPCG(uint64(number), 2))}
	for i := range a.questions {
		m := new(dns.Msg)
		m.SetQuestion(serviceName(i)+"."+r.config.Namespace+".svc.cluster.local.", dns.TypeA)
		if a.questions[i], err = m.Pack(); err != nil {
			return err
		}
	}
	if err := a.awaitStart(ctx); err != nil {
		return err
	}
	for asked := 0; asked < r.config.Queries/askers && ctx.Err() == nil; asked += window {
		if err := a.exchange(window, a.judge); err != nil {
			return err
		}
		r.mu.Lock()
		r.result.Queries += window
		r.mu.Unlock()
	}
	return ctx.Err()
}

// awaitStart asks until each Service was answered once: before, the server may not have heard of them.
func (a *asker) awaitStart(ctx context.Context) error {
	deadline := time.Now().Add(startTimeout)
	for known := map[int]bool{}; len(known) < services; {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("only %d of %d Services were answered within %s", len(known), services, startTimeout)
		}
		err := a.exchange(window, func(service int, m *dns.Msg, _, _ time.Time) {
			if m != nil && len(m.Answer) > 0 {
				known[service] = true
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange asks n questions at once and hands the answers to take; nil is one that did not come.
func (a *asker) exchange(n int, take func(service int, m *dns.Msg, asked, received time.Time)) error {
	a.round++
	for slot := range n {
		s := &a.sent[slot]
		s.service, s.open = a.random.IntN(services), true
		packet := a.questions[s.service]
		binary.BigEndian.PutUint16(packet, a.round<<4|uint16(slot))
		s.at = time.Now()
		if _, err := a.conn.Write(packet); err != nil {
			return err
		}
	}
	if err := a.conn.SetReadDeadline(time.Now().Add(lost)); err != nil {
		return err
	}
	for open := n; open > 0; {
		size, err := a.conn.Read(a.buffer[:])
		received := time.Now()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return err
		}
		m := new(dns.Msg)
		if err := m.Unpack(a.buffer[:size]); err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		s := &a.sent[m.Id%window]
		if m.Id>>4 != a.round&0x0fff || !s.open {
			continue // of an earlier round, and counted as missing
		}
		s.open = false
		open--
		take(s.service, m, s.at, received)
	}
	for slot := range n {
		if s := &a.sent[slot]; s.open {
			take(s.service, nil, s.at, time.Now())
		}
	}
	return nil
}

// judge judges one answer.
func (a *asker) judge(service int, m *dns.Msg, asked, received time.Time) {
	name := serviceName(service)
	if m == nil {
		a.note(missing, "%s: no answer within %s", name, lost)
		return
	}
	h := a.histories[service]
	if m.Rcode == dns.RcodeNameError && len(m.Answer) == 0 {
		a.note(h.judgeAbsent(asked, received), "%s: no such name, asked at %s", name, asked)
		return
	}
	var addresses [][4]byte
	for _, rr := range m.Answer {
		if record, ok := rr.(*dns.A); ok && record.A.To4() != nil {
			addresses = append(addresses, [4]byte(record.A.To4()))
		}
	}
	number, ok := numberOf(service, addresses)
	if !ok || m.Rcode != dns.RcodeSuccess || m.Truncated {
		a.note(wrong, "%s: addresses of no state: %s", name, m)
		return
	}
	a.note(h.judge(number, asked, received), "%s: state %d, asked at %s", name, number, asked)
}
