package policy

import "time"

// Pacer paces the body of a response as nginx's limit_rate does. The zero value lets everything pass.
type Pacer struct {
	// Rate is in bytes a second, after the first After bytes; 0: no limit.
	Rate, After int64

	start time.Time
	sent  int64
}

// Allow returns how many of want bytes may be sent now; if none may, how long to wait before asking again.
func (p *Pacer) Allow(want int, now time.Time) (n int, wait time.Duration) {
	if p.Rate == 0 {
		return want, 0
	}
	if p.start.IsZero() {
		p.start = now
	}
	seconds := int64(now.Sub(p.start) / time.Second)
	left := p.Rate*(seconds+1) - (p.sent - p.After)
	if left <= 0 {
		return 0, time.Duration(-left*int64(time.Second)/p.Rate) + time.Millisecond
	}
	return int(min(int64(want), left)), 0
}

// Sent counts n bytes that went out.
func (p *Pacer) Sent(n int) { p.sent += int64(n) }
