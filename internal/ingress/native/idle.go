package native

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/balance"
	"github.com/switchyard-net/switchyard/internal/ingress/http1"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// target is whom a connection can be used for again.
type target struct {
	endpoint *balance.Endpoint
	tls      *backendTLS // nil: without
}

// upstream is a connection to an endpoint.
type upstream struct {
	*http1.Client
	target        target
	reused        bool // it has carried a request before
	stack         *stack
	before, after *upstream // in the order of use, while it is idle
}

// stack is the idle connections to a target; the last one was used last.
type stack struct{ list []*upstream }

// idle is the connections of a loop that wait for another request.
type idle struct {
	of          map[target]*stack
	first, last *upstream // first was used last
	n           int
}

func newIdle() idle { return idle{of: map[target]*stack{}} }

// take returns a connection to the target that seems to be good; nil: there is none.
func (i *idle) take(t target) *upstream {
	s := i.of[t]
	if s == nil {
		return nil
	}
	for len(s.list) > 0 {
		u := s.list[len(s.list)-1]
		i.remove(u)
		if u.Raw().Quiet() {
			u.reused = true
			return u
		}
		u.Close()
	}
	return nil
}

// put keeps a connection for the next request, as far as limits allow.
func (i *idle) put(u *upstream, now time.Duration, limits *settings.UpstreamPool) {
	if limits.Idle <= 0 || limits.Requests > 0 && u.Requests >= limits.Requests ||
		limits.Lifetime > 0 && now-u.Begun > limits.Lifetime || u.target.endpoint.Gone() {
		u.Close()
		return
	}
	if i.n >= limits.Idle {
		oldest := i.last
		i.remove(oldest)
		oldest.Close()
	}
	u.Since = now
	if u.stack == nil {
		u.stack = i.stack(u.target)
	}
	u.stack.list = append(u.stack.list, u)
	u.before, u.after = nil, i.first
	if i.first != nil {
		i.first.before = u
	} else {
		i.last = u
	}
	i.first = u
	i.n++
}

func (i *idle) stack(t target) *stack {
	s := i.of[t]
	if s == nil {
		s = &stack{}
		i.of[t] = s
	}
	return s
}

func (i *idle) remove(u *upstream) {
	list := u.stack.list
	k := len(list) - 1
	for list[k] != u {
		k--
	}
	copy(list[k:], list[k+1:])
	list[len(list)-1] = nil
	u.stack.list = list[:len(list)-1]
	if u.before != nil {
		u.before.after = u.after
	} else {
		i.first = u.after
	}
	if u.after != nil {
		u.after.before = u.before
	} else {
		i.last = u.before
	}
	u.before, u.after = nil, nil
	i.n--
}

// expire closes what has waited for too long, what the endpoint has closed, and connections to endpoints that are gone.
func (i *idle) expire(now time.Duration, limits *settings.UpstreamPool) {
	for u := i.last; u != nil; {
		next := u.before
		if limits.Timeout > 0 && now-u.Since > limits.Timeout || u.target.endpoint.Gone() || !u.Raw().Quiet() {
			i.remove(u)
			u.Close()
		}
		u = next
	}
	for t := range i.of {
		if t.endpoint.Gone() {
			delete(i.of, t) // connections in use keep theirs
		}
	}
}
