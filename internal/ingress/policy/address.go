package policy

import (
	"net/netip"
	"regexp"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// blocks compiles what refuses clients everywhere.
func (e *Entry) blocks() []step {
	var steps []step
	b := &e.global.Block
	if len(b.Sources) > 0 {
		steps = append(steps, func(x *Exchange) bool {
			return !contains(b.Sources, x.Client) || x.answer(403, ReasonBlocked)
		})
	}
	for _, by := range []struct {
		name     string
		patterns []*regexp.Regexp
	}{{"User-Agent", b.UserAgents}, {"Referer", b.Referers}} {
		if len(by.patterns) == 0 {
			continue
		}
		steps = append(steps, func(x *Exchange) bool {
			value := x.Request.Header.Get(by.name)
			for _, p := range by.patterns {
				if p.Match(value) {
					return x.answer(403, ReasonBlocked)
				}
			}
			return true
		})
	}
	return steps
}

// addresses is the decision of nginx's access module.
type addresses struct{ deny, allow []netip.Prefix }

func newAddresses(a *settings.Access) *addresses {
	if len(a.Deny) == 0 && len(a.Allow) == 0 {
		return nil
	}
	return &addresses{deny: a.Deny, allow: a.Allow}
}

// verdict of one check of the access phase.
type verdict uint8

const (
	declined verdict = iota // it says nothing about the request
	allowed
	refused // with x.Answer
)

func (a *addresses) check(x *Exchange) verdict {
	switch {
	case contains(a.deny, x.Client):
	case contains(a.allow, x.Client):
		return allowed
	case len(a.allow) == 0:
		return declined
	}
	x.answer(403, ReasonAddress)
	return refused
}

// accessPhase compiles who may ask: by address, by password, by another server. All have to agree, or one where satisfy is any.
func (c *compiler) accessPhase() {
	if c.location.Denied != "" {
		return
	}
	var checks []func(*Exchange) verdict
	if a := newAddresses(&c.settings.Access); a != nil {
		checks = append(checks, a.check)
	}
	if !hasPrefixIn(c.location.Path, c.entry.global.NoAuth) {
		checks = append(checks, c.password()...)
		checks = append(checks, c.externalAuth()...)
	}
	switch {
	case len(checks) == 0:
	case c.settings.Access.SatisfyAny:
		c.step(func(x *Exchange) bool { return anyOf(checks, x) })
	default:
		c.step(func(x *Exchange) bool { return allOf(checks, x) })
	}
}

func allOf(checks []func(*Exchange) verdict, x *Exchange) bool {
	for _, check := range checks {
		if check(x) == refused {
			return false
		}
	}
	return true
}

// anyOf lets in whom one check allows. Of several refusals the one that asks for a password counts, else the last; a failure other
// than 401 and 403 ends the request at once.
func anyOf(checks []func(*Exchange) verdict, x *Exchange) bool {
	var kept Answer
	for _, check := range checks {
		switch check(x) {
		case allowed:
			x.Answer, x.own.ours = Answer{Header: x.Answer.Header[:0]}, false
			return true
		case refused:
			if x.Answer.Status != 401 && x.Answer.Status != 403 {
				return false
			}
			if kept.Status != 401 {
				kept = x.Answer
				x.Answer = Answer{}
			} else {
				x.Answer.Header = nil
			}
		case declined:
		}
	}
	if kept.Status == 0 {
		return true
	}
	x.Answer = kept
	return false
}
