package ipvs

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// cmdDeleteService is IPVS_CMD_DEL_SERVICE of linux/ip_vs.h.
const cmdDeleteService = 3

// DeleteByAddress deletes the virtual servers that go by an address, as kube-proxy's do, and returns how many they were.
// Those that go by a mark stay.
func (c *Conn) DeleteByAddress(ctx context.Context) (deleted int, err error) {
	var found [][]byte
	err = c.request(ctx, cmdGetService, unix.NLM_F_DUMP, nil, func(body []byte) error {
		_, byMark, err := decodeService(body)
		if !byMark && err == nil {
			found = append(found, bytes.Clone(body))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("list the virtual servers of ipvs: %w", err)
	}
	for _, body := range found {
		// What the kernel says of a virtual server is more than enough to name it.
		err := c.request(ctx, cmdDeleteService, unix.NLM_F_ACK, func(w *writer) { w.buf = append(w.buf, body...) },
			func([]byte) error { return nil })
		if err != nil {
			return deleted, fmt.Errorf("delete a virtual server of ipvs: %w", err)
		}
		deleted++
	}
	return deleted, nil
}
