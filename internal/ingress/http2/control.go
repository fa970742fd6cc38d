package http2

import (
	"encoding/binary"
)

// The parameters of SETTINGS (RFC 9113 6.5.2, RFC 8441 3).
const (
	settingTableSize       = 0x1
	settingPush            = 0x2
	settingStreams         = 0x3
	settingWindow          = 0x4
	settingFrameSize       = 0x5
	settingHeaderList      = 0x6
	settingExtendedConnect = 0x8
)

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

// greet sends our SETTINGS, and the credit that makes the connection's window as large as it shall be.
func (c *conn) greet(settings []byte) {
	c.out = appendFrameHeader(c.out, frameHeader{length: len(settings), typ: frameSettings})
	c.out = append(c.out, settings...)
	if more := c.limits.ConnWindow - initialWindow; more > 0 {
		c.out = appendWindowUpdate(c.out, 0, more)
		c.recvWindow += more
	}
	c.writer.wake()
}

func (c *conn) settings(h frameHeader, payload []byte) error {
	switch {
	case h.streamID != 0:
		return connError{codeProtocol, "SETTINGS on a stream"}
	case h.has(flagAck) && len(payload) != 0, len(payload)%6 != 0:
		return connError{codeFrameSize, "SETTINGS of a wrong size"}
	}
	if err := c.overhead("SETTINGS"); err != nil {
		return err
	}
	if h.has(flagAck) {
		return nil
	}
	for ; len(payload) > 0; payload = payload[6:] {
		if err := c.setting(binary.BigEndian.Uint16(payload), binary.BigEndian.Uint32(payload[2:])); err != nil {
			return err
		}
	}
	if !c.greeted {
		c.greeted = true
		c.hello.wake()
	}
	c.out = appendFrameHeader(c.out, frameHeader{typ: frameSettings, flags: flagAck})
	c.writer.wake()
	return nil
}

func (c *conn) setting(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		c.tableChanged = c.tableChanged || value < 4096
	case settingPush, settingExtendedConnect:
		if value > 1 {
			return connError{codeProtocol, "a setting that is neither 0 nor 1"}
		}
	case settingStreams:
		c.side.streamLimit(int(min(value, maxWindow)))
	case settingWindow:
		if value > maxWindow {
			return connError{codeFlowControl, "an initial window of more than 2^31-1"}
		}
		return c.resizeWindows(int(value))
	case settingFrameSize:
		// Ours are never larger than the smallest value that is allowed.
		if value < maxFrameSize || value > 1<<24-1 {
			return connError{codeProtocol, "a largest frame outside of 2^14 to 2^24-1"}
		}
	}
	return nil
}

// resizeWindows applies a new initial window to all streams, which may make windows negative (RFC 9113 6.9.2).
func (c *conn) resizeWindows(size int) error {
	delta := size - c.peerWindow
	c.peerWindow = size
	for _, s := range c.streams {
		if s.sendWindow += delta; s.sendWindow > maxWindow {
			return connError{codeFlowControl, "an initial window makes one of a stream too large"}
		}
		s.writer.wake()
	}
	return nil
}

func (c *conn) ping(h frameHeader, payload []byte) error {
	switch {
	case h.streamID != 0:
		return connError{codeProtocol, "PING on a stream"}
	case len(payload) != 8:
		return connError{codeFrameSize, "PING of a wrong size"}
	}
	if err := c.overhead("PING"); err != nil || h.has(flagAck) {
		return err
	}
	c.out = appendPing(c.out, flagAck, [8]byte(payload))
	c.writer.wake()
	return nil
}

func (c *conn) goAway(h frameHeader, payload []byte) error {
	switch {
	case h.streamID != 0:
		return connError{codeProtocol, "GOAWAY on a stream"}
	case len(payload) < 8:
		return connError{codeFrameSize, "GOAWAY of a wrong size"}
	}
	if err := c.overhead("GOAWAY"); err != nil {
		return err
	}
	c.side.goAway(binary.BigEndian.Uint32(payload)&maxWindow, Code(binary.BigEndian.Uint32(payload[4:])))
	return nil
}

func (c *conn) priority(h frameHeader, payload []byte) error {
	switch {
	case h.streamID == 0:
		return connError{codeProtocol, "PRIORITY on no stream"}
	case len(payload) != 5:
		return connError{codeFrameSize, "PRIORITY of a wrong size"}
	}
	return c.overhead("PRIORITY")
}

func (c *conn) resetByPeer(h frameHeader, payload []byte) error {
	switch {
	case h.streamID == 0 || c.side.idle(h.streamID):
		return connError{codeProtocol, "RST_STREAM on an idle stream"}
	case len(payload) != 4:
		return connError{codeFrameSize, "RST_STREAM of a wrong size"}
	}
	if err := c.resetting("RST_STREAM"); err != nil {
		return err
	}
	if s := c.streams[h.streamID]; s != nil {
		c.drop(s, ResetError{Code(binary.BigEndian.Uint32(payload))})
	}
	return nil
}

func (c *conn) windowUpdate(h frameHeader, payload []byte) error {
	if len(payload) != 4 {
		return connError{codeFrameSize, "WINDOW_UPDATE of a wrong size"}
	}
	if err := c.overhead("WINDOW_UPDATE"); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(payload) & maxWindow)
	if h.streamID == 0 {
		if c.sendWindow += n; n == 0 || c.sendWindow > maxWindow {
			return windowError(n, connError{codeProtocol, "WINDOW_UPDATE of 0"},
				connError{codeFlowControl, "the connection's window is larger than 2^31-1"})
		}
		c.unstall()
		return nil
	}
	if c.side.idle(h.streamID) {
		return connError{codeProtocol, "WINDOW_UPDATE on an idle stream"}
	}
	s := c.streams[h.streamID]
	if s == nil {
		return nil
	}
	if s.sendWindow += n; n == 0 || s.sendWindow > maxWindow {
		return windowError(n, streamError{h.streamID, codeProtocol, "WINDOW_UPDATE of 0"},
			streamError{h.streamID, codeFlowControl, "the stream's window is larger than 2^31-1"})
	}
	s.writer.wake()
	return nil
}

// windowError returns the first error for a WINDOW_UPDATE of nothing, else the second.
func windowError(n int, zero, overflow error) error {
	if n == 0 {
		return zero
	}
	return overflow
}
