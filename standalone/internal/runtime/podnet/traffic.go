package podnet

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Traffic counts what went through a pod's interface, as the pod sees it.
type Traffic struct {
	Interface                    string
	ReceivedBytes, ReceiveErrors uint64
	SentBytes, SendErrors        uint64
}

// Traffic reads the counters of the node's end: what that one sent, the pod received.
func (l Link) Traffic() (Traffic, error) {
	link, err := netlink.LinkByName(l.Name)
	if err != nil {
		return Traffic{}, fmt.Errorf("find interface %s: %w", l.Name, err)
	}
	t := Traffic{Interface: podLink}
	if s := link.Attrs().Statistics; s != nil {
		t.ReceivedBytes, t.ReceiveErrors, t.SentBytes, t.SendErrors = s.TxBytes, s.TxErrors, s.RxBytes, s.RxErrors
	}
	return t, nil
}
