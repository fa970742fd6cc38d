package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheel holds the wheel against a list: every place is looked at when its time has come, not earlier, and never lost.
func TestWheel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	l := &Loop{}
	places := make([]*waiting, 500)
	task := &Task{loop: l}
	for i := range places {
		places[i] = &waiting{}
	}
	for round := range 3000 {
		for range 5 {
			w := places[random.IntN(len(places))]
			switch random.IntN(4) {
			case 0:
				l.forget(w)
				w.task = nil
			default:
				w.task, w.expired = task, false
				w.until = l.now + time.Duration(random.Int64N(int64(30*time.Second)))
				l.wheel.move(w, int64((w.until+tick-1)/tick))
			}
		}
		for i, w := range places {
			if due, ok := l.wheel.due(); w.at != 0 && (!ok || due > w.until+slots*tick) {
				t.Fatalf("round %d: due at %v, %v, but place %d is at %v", round, due, ok, i, w.until)
			}
		}
		l.now += time.Duration(random.Int64N(int64(2 * time.Second)))
		if random.IntN(100) == 0 {
			l.now += 3 * slots * tick
		}
		l.wheel.expire(l)
		for i, w := range places {
			waits := w.task != nil && !w.expired
			if over := w.until <= l.now-tick; waits && over {
				t.Fatalf("round %d: place %d waits at %v until %v", round, i, l.now, w.until)
			}
			if w.expired && w.until > l.now {
				t.Fatalf("round %d: place %d has expired at %v, before %v", round, i, l.now, w.until)
			}
			if waits && w.at == 0 {
				t.Fatalf("round %d: place %d is lost", round, i)
			}
			if w.expired {
				w.task = nil
			}
		}
	}
}

func TestWheelDue(t *testing.T) {
	l := &Loop{}
	if _, ok := l.wheel.due(); ok {
		t.Error("an empty wheel is due")
	}
	for at := int64(1); at < 3*slots; at += 7 {
		w := &waiting{}
		l.wheel.done = at - 1 - at%slots/2
		l.wheel.move(w, at)
		if got, ok := l.wheel.due(); !ok || got != time.Duration(at)*tick {
			t.Fatalf("due at %v, %v with a place at %v", got, ok, time.Duration(at)*tick)
		}
		l.wheel.remove(w)
	}
}
