package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/model"
)

// world is a snapshot under way, with what changed since the last take.
type world struct {
	snap    model.Snapshot
	changes model.Changes
}

// take returns the present snapshot.
func (w *world) take() (*model.Snapshot, model.Changes) {
	w.snap.Version++
	snap, changes := w.snap, w.changes
	w.changes = model.Changes{}
	return &snap, changes
}

func (w *world) changed(ref model.Ref) {
	if w.changes.Services == nil {
		w.changes.Services = map[model.Ref]struct{}{}
	}
	w.changes.Services[ref] = struct{}{}
}

func (w *world) namespace(name string) {
	w.snap.Namespaces = w.snap.Namespaces.With(name, &model.Namespace{Name: name})
	w.changes.Namespaces = true
}

func (w *world) service(s *model.Service) {
	w.snap.Services = w.snap.Services.With(s.Ref, s)
	w.changed(s.Ref)
}

func (w *world) slices(ref model.Ref, s ...*model.EndpointSlice) {
	if len(s) == 0 {
		w.snap.Slices = w.snap.Slices.Without(ref)
	} else {
		w.snap.Slices = w.snap.Slices.With(ref, s)
	}
	w.changed(ref)
}

// clusterService has the n-th cluster IP.
func clusterService(ref model.Ref, n int) *model.Service {
	return &model.Service{
		Ref: ref, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(n >> 8), byte(n)})},
		Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}},
	}
}

func headlessService(ref model.Ref) *model.Service {
	return &model.Service{Ref: ref, Headless: true, Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80}}}
}

// nowhere is shared, as the source shares placements.
func nowhere() *model.Placement { return &model.Placement{Node: "node-1", Zone: "za"} }

// slice has ready endpoints with count addresses from the n-th pod on.
func slice(ref model.Ref, name string, n, count int) *model.EndpointSlice {
	s := &model.EndpointSlice{
		Ref: model.Ref{Namespace: ref.Namespace, Name: name}, Service: ref.Name, Family: model.IPv4,
		Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: 8080}},
	}
	place := nowhere()
	for i := range count {
		s.Endpoints = append(s.Endpoints, model.Endpoint{Addr: podAddr(n + i), Placement: place, Conditions: model.Ready | model.Serving})
	}
	return s
}

func podAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)})
}

// zonesOf returns the answers of kubeadm's Corefile from a new table, and the table's owner.
func zonesOf(t testing.TB, o Options) (*Zones, *Live) {
	t.Helper()
	live := NewLive(Config{})
	if o.Zones == nil {
		o.Zones = []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."}
	}
	o.TTL = 30
	z, err := New(o, live)
	if err != nil {
		t.Fatal(err)
	}
	return z, live
}

// question returns a message with a question, ready for Answer, and the question itself.
func question(t testing.TB, name string, kind uint16) ([]byte, Question) {
	t.Helper()
	wire, err := wireName(name)
	if err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, questionAt, 4096)
	msg = append(msg, wire...)
	msg = append(msg, byte(kind>>8), byte(kind), 0, classIN)
	lower, _ := wireName(strings.ToLower(name))
	return msg, Question{Name: []byte(lower), Type: kind, Size: 4096}
}

// unpack returns the message as the DNS library reads it.
func unpack(t testing.TB, msg []byte, r Reply) *dns.Msg {
	t.Helper()
	for i, v := range []uint16{0, 1<<15 | uint16(r.Rcode), 1, r.Answers, r.Authorities, r.Additionals} {
		msg[2*i], msg[2*i+1] = byte(v>>8), byte(v)
	}
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	return m
}

// sections returns the records of an answer in order, without the serial.
func sections(t testing.TB, z *Zones, table *Table, name string, kind uint16) []string {
	t.Helper()
	msg, q := question(t, name, kind)
	q.Size = 65535
	msg, reply := z.AnswerFrom(table, msg, q)
	if reply.Verdict == Chain {
		return []string{fmt.Sprint("chain ", reply.Cause, reply.Target)}
	}
	m := unpack(t, msg, reply)
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if soa, ok := rr.(*dns.SOA); ok {
				soa.Serial = 0
			}
			out = append(out, rr.String())
		}
	}
	slices.Sort(out[1:])
	return out
}
