package fastpath

import (
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/datagram"
)

// A loop that gets many packets lets some gather before it reads again: to wake up for each packet, here and at the client, costs more than
// to answer it, and replies to one client that are sent together cost less (package datagram). What is lost is a tenth of a millisecond,
// and only while there is such a load.
const (
	// pacedWindow is the time in which pacedPackets make a load.
	pacedWindow  = time.Millisecond
	pacedPackets = 30
	// gatherTime is how long packets gather; the kernel adds the thread's timer slack, 50 us as a rule.
	gatherTime = 50 * time.Microsecond
)

// pacer says when a loop is to let packets gather.
type pacer struct {
	since   time.Time // the beginning of the window
	packets int       // in the window
	loaded  bool      // the window before had enough
	full    bool      // the last batch was full: more are waiting
}

// read notes how many packets were read, and when.
func (p *pacer) read(n int, now time.Time) {
	p.packets += n
	p.full = n == datagram.Size
	if took := now.Sub(p.since); took >= pacedWindow {
		p.loaded = p.packets >= pacedPackets && took < 2*pacedWindow
		p.since, p.packets = now, 0
	}
}

// gathers reports whether packets are to gather before the next read.
func (p *pacer) gathers() bool { return p.loaded && !p.full }
