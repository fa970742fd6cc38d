package http2

// data handles a DATA frame: its payload goes to the stream, within the windows (RFC 9113 6.9).
func (c *conn) data(h frameHeader, payload []byte) error {
	if h.streamID == 0 || c.side.idle(h.streamID) {
		return connError{codeProtocol, "DATA on an idle stream"}
	}
	body, err := unpad(h, payload)
	if err != nil {
		return err
	}
	if c.recvWindow -= len(payload); c.recvWindow < 0 {
		return connError{codeFlowControl, "more DATA than the connection's window"}
	}
	s := c.streams[h.streamID]
	if s == nil || s.recvEnded {
		c.consumed(len(payload))
		return c.strayData(h, s)
	}
	if s.recvWindow -= len(payload); s.recvWindow < 0 {
		c.consumed(len(payload))
		return streamError{h.streamID, codeFlowControl, "more DATA than the stream's window"}
	}
	if padding := len(payload) - len(body); padding > 0 {
		c.consumed(padding)
		s.consumed(padding)
	}
	if len(body) == 0 && !h.has(flagEndStream) {
		return c.overhead("empty DATA")
	}
	return s.receive(body, h.has(flagEndStream))
}

// strayData judges DATA on a stream that can have none.
func (c *conn) strayData(h frameHeader, s *stream) error {
	if s == nil {
		if _, ours := c.retired.find(h.streamID); ours {
			return c.overhead("DATA of a stream that was reset") // it may have been sent before RST_STREAM was received
		}
	}
	return streamError{h.streamID, codeStreamClosed, "DATA after the end of a stream"}
}

// consumed gives n bytes of the connection's window back, as soon as they are worth a frame.
func (c *conn) consumed(n int) {
	c.credit += n
	if c.credit < c.limits.ConnWindow/4 {
		return
	}
	c.out = appendWindowUpdate(c.out, 0, c.credit)
	c.recvWindow += c.credit
	c.credit = 0
	c.writer.wake()
}

// consumed gives n bytes of the stream's window back, as soon as they are worth a frame.
func (s *stream) consumed(n int) {
	s.credit += n
	if s.recvEnded || s.err != nil || s.credit < s.c.limits.StreamWindow/4 {
		return
	}
	s.c.out = appendWindowUpdate(s.c.out, s.id, s.credit)
	s.recvWindow += s.credit
	s.credit = 0
	s.c.writer.wake()
}
