package quarantine

import "time"

// allowance bounds how often something is done: so many times a second, after a rest so many at once.
type allowance struct {
	perSecond float64
	left      float64
	at        time.Time // when left was right
}

// take uses n times up, if there are as many and reserve are left then.
func (a *allowance) take(now time.Time, n, reserve int) bool {
	if a.at.IsZero() {
		a.left = a.perSecond
	} else {
		a.left = min(a.perSecond, a.left+now.Sub(a.at).Seconds()*a.perSecond)
	}
	a.at = now
	if a.left < float64(n+reserve) {
		return false
	}
	a.left -= float64(n)
	return true
}
