package fastpath

import (
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

func TestPacer(t *testing.T) {
	now := time.Now()
	var p pacer
	// feed reads batches of n packets, each some time after the one before, and returns after how many of them packets gather.
	feed := func(batches, n int, pause time.Duration) (gathered int) {
		for range batches {
			now = now.Add(pause)
			p.read(n, now)
			if p.gathers() {
				gathered++
			}
		}
		return gathered
	}
	if n := feed(1000, 1, 200*time.Microsecond); n != 0 {
		t.Errorf("5,000 packets a second gather %d times of 1,000", n)
	}
	if n := feed(1000, 5, 100*time.Microsecond); n < 950 {
		t.Errorf("50,000 a second gather only %d times of 1,000", n)
	}
	if n := feed(100, datagram.Size, 100*time.Microsecond); n != 0 {
		t.Errorf("full batches gather %d times", n)
	}
	if n := feed(100, 10, 100*time.Microsecond); n < 90 {
		t.Errorf("100,000 a second gather only %d times of 100", n)
	}
	if n := feed(1, 40, time.Second); n != 0 {
		t.Error("packets of a burst gather after a silence")
	}
	if n := feed(1000, 1, 200*time.Microsecond); n > 1 {
		t.Errorf("once the load is gone, packets gather %d times", n)
	}
}
