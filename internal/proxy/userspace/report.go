package userspace

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// unsupported returns what the plan asks for and this mode cannot do.
func (b *Backend) unsupported(p *plan.Plan) []plan.Unsupported {
	var list []plan.Unsupported
	var sctp []model.Ref
	for ref, s := range p.Services.All() {
		if has(s, model.SCTP) {
			sctp = append(sctp, ref)
		}
	}
	if len(sctp) > 0 {
		list = append(list, plan.Unsupported{
			Capability:  "proxying SCTP",
			Consequence: "SCTP is translated by the kernel as in the nftables mode: no other endpoint is tried when one does not answer",
			Remedy:      "none is needed, unless endpoints fail without their readiness telling",
			Services:    sctp,
		})
	}
	if b.router.affinity.wasFull() {
		list = append(list, plan.Unsupported{
			Capability:  "session affinity for more than 262144 clients",
			Consequence: "clients of Services with session affinity were sent to any endpoint before their timeout",
			Remedy:      "lower sessionAffinityConfig.clientIP.timeoutSeconds of the Services",
		})
	}
	return list
}

// probe connects to an endpoint, says that nothing will be said, and waits for any sign of the process behind it: a live
// one hangs up when it reads an end before a request. One that was stopped cannot, although its kernel goes on accepting
// connections for it.
func (b *Backend) probe(ctx context.Context, endpoint netip.AddrPort) (answer Answer) {
	var conn *net.TCPConn
	err := b.ns.Do(func() error {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", endpoint.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		return Answer{}
	}
	defer conn.Close()
	answer.Accepted = true
	if conn.CloseWrite() != nil {
		answer.Answered = true // reset already
		return answer
	}
	deadline, _ := ctx.Deadline()
	if conn.SetReadDeadline(deadline) != nil {
		return answer
	}
	_, err = conn.Read(make([]byte, 1))
	if answer.Answered = !errors.Is(err, os.ErrDeadlineExceeded); !answer.Answered {
		// Nothing of this connection shall wait in the queue of a process that is stopped.
		_ = conn.SetLinger(0)
	}
	return answer
}
