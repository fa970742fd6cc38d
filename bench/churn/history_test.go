package churn

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	// State 0 from 0 to 100, 1 (no Service) from 100 to 5000, 2 from 5000 on.
	history := func() *history {
		h := &history{}
		for i, ms := range []int{0, 100, 5000} {
			h.begin(i == 1, at(ms))
			h.accept(at(ms + 5))
		}
		return h
	}
	for name, c := range map[string]struct {
		number          int // -1: no Service
		asked, received int
		want            verdict
	}{
		"the present state":                       {2, 6000, 6001, right},
		"a state that will be":                    {2, 4000, 4001, wrong},
		"accepted while the answer was under way": {2, 4999, 5001, right},
		"a state that never was":                  {3, 6000, 6001, wrong},
		"a number of a state without Service":     {1, 1000, 1001, wrong},
		"a state that has just ended":             {0, 200, 201, right},
		"a state that has long ended":             {0, 3000, 3001, stale},
		"no Service while there was none":         {-1, 3000, 3001, right},
		"no Service though there is one":          {-1, 7000, 7001, stale},
		"no Service before it was deleted":        {-1, 50, 51, wrong},
	} {
		h := history()
		got := h.judgeAbsent(at(c.asked), at(c.received))
		if c.number >= 0 {
			got = h.judge(c.number, at(c.asked), at(c.received))
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	h := history()
	if v := h.judge(2, at(5001), at(5002)); v != right {
		t.Errorf("the new state: %d", v)
	}
	if v := h.judgeAbsent(at(5003), at(5004)); v != stale {
		t.Errorf("no Service, after an answer of the Service that came back: %d, want %d", v, stale)
	}
	if v := h.judgeAbsent(at(5001), at(5004)); v != right {
		t.Errorf("no Service, asked before that answer: %d, want %d", v, right)
	}
}

func TestAddressesSayTheState(t *testing.T) {
	for _, number := range []int{0, 1, 255, 256, maxChanges - 1} {
		var all [][4]byte
		for e := range endpoints {
			all = append(all, address(5, number, e).As4())
		}
		if got, ok := numberOf(5, all); !ok || got != number {
			t.Errorf("state %d: read as %d, %t", number, got, ok)
		}
		if _, ok := numberOf(6, all); ok {
			t.Errorf("state %d of Service 5 is taken for one of Service 6", number)
		}
		if _, ok := numberOf(5, all[1:]); ok {
			t.Errorf("state %d: an address less is not noticed", number)
		}
		all[1] = address(5, number+1, 1).As4()
		if _, ok := numberOf(5, all); ok {
			t.Errorf("state %d: mixed with the next, which is not noticed", number)
		}
	}
}
