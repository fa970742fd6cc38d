package http2

import "time"

// budget is a leaky bucket of frames that cost us work and bring the peer nowhere.
//
// A connection has two. Resets pays for streams that end by an error of the peer's making: RST_STREAM from it (rapid reset,
// CVE-2023-44487), RST_STREAM that it provokes from us (MadeYouReset, CVE-2025-8671) and refused streams. Overhead pays for frames
// without progress: PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE, frames of unknown types and of closed streams. What a
// useful exchange brings about is paid in by the exchange itself.
type budget struct {
	tokens, limit int
	perSecond     int
	at            time.Duration // of the loop's clock
}

func newBudget(limit, perSecond int, now time.Duration) budget {
	return budget{tokens: limit, limit: limit, perSecond: perSecond, at: now}
}

// take pays for one frame, and is false where the budget is used up.
func (b *budget) take(now time.Duration) bool {
	if b.tokens > 0 {
		b.tokens--
		return true
	}
	if whole := int((now - b.at) * time.Duration(b.perSecond) / time.Second); whole > 0 {
		b.at = now
		b.add(whole)
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// add pays in.
func (b *budget) add(n int) { b.tokens = min(b.tokens+n, b.limit) }

const (
	// resetLimit and resetRate are the budget of resets: a browser that leaves a page cancels all its streams at once.
	resetLimit, resetRate = 500, 20
	// overheadLimit and overheadRate are the budget of frames without progress.
	overheadLimit, overheadRate = 2000, 200
	// dataCredit is what a DATA frame of ours pays in: WINDOW_UPDATE for it is due for the stream and the connection.
	dataCredit = 3
	// usefulFrame is how much data has to be in it for that, unless it is all there was to send.
	usefulFrame = 512
	// requestCredit is what a request pays in to both.
	requestCredit = 1
	// maxPending is from how many collected bytes on no more frames are read: the peer reads nothing of what it has asked for.
	maxPending = 256 << 10
)

// overhead pays for a frame without progress.
func (c *conn) overhead(what string) error {
	if c.overheads.take(c.loop.Elapsed()) {
		return nil
	}
	return connError{codeCalm, "too many frames without progress, the last was " + what}
}

// resets pays for a stream that failed by the peer's making.
func (c *conn) resetting(what string) error {
	if c.resets.take(c.loop.Elapsed()) {
		return nil
	}
	return connError{codeCalm, "too many streams failed, the last by " + what}
}
