package http1

// spliced is from how many bytes on the rest of a body is moved within the kernel. Below, two copies cost less than the detour.
const spliced = 128 << 10

// Splice moves what is left of the body of from's response to the client within the kernel, if there is much of it and both
// connections are plain. moved is how much; source is what went wrong with the endpoint, sink what went wrong with the client. Nothing
// moved and nothing wrong: it has to be read and written.
func (c *Conn) Splice(from *Client) (moved int64, source, sink error) {
	b := &from.body
	switch {
	case c.out.secure || from.out.secure || c.chunked || c.bodiless || c.tunnel || c.aborted:
		return 0, nil, nil
	case b.kind != sized || b.left < spliced || b.left != c.left || len(from.in.rest()) > 0:
		return 0, nil, nil
	}
	if err := c.out.flush(); err != nil {
		return 0, nil, err
	}
	moved, source, sink = c.raw.Splice(from.raw, b.left)
	b.left -= moved
	c.left -= moved
	return moved, source, sink
}
