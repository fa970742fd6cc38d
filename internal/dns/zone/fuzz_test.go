package zone

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer gives any bytes as a name: there must be no panic, what is answered must be a message, and it must fit.
func FuzzAnswer(f *testing.F) {
	z, live := zonesOf(f, Options{Pods: PodsInsecure, Zonal: true})
	w := bigCluster(20)
	live.apply(w.take())
	for _, q := range questions {
		wire, err := wireName(q.qname)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(wire), q.kind, uint16(512), uint32(7))
	}
	f.Add([]byte("\x02za\x03pin\x05_zone\x0aheadless-3\x07default\x03svc\x07cluster\x05local\x00"), uint16(typeSRV), uint16(600), uint32(0))
	f.Add([]byte("\xc0\x0c"), uint16(typeA), uint16(512), uint32(0))
	f.Add([]byte{}, uint16(typeA), uint16(0), uint32(0))
	f.Fuzz(func(t *testing.T, name []byte, kind, size uint16, turn uint32) {
		msg := append(make([]byte, questionAt), name...)
		msg = append(msg, byte(kind>>8), byte(kind), 0, classIN)
		begin := len(msg)
		msg, reply := z.Answer(msg, Question{Name: name, Type: kind, Size: int(size), Turn: turn})
		switch {
		case reply.Verdict == Chain && len(msg) != begin:
			t.Fatalf("something was appended without an answer")
		case len(msg) > max(int(size), begin):
			t.Fatalf("%d bytes, more than %d", len(msg), size)
		case reply.Verdict == Answered:
			m := unpack(t, msg, reply)
			if len(m.Answer) != int(reply.Answers) || len(m.Ns) != int(reply.Authorities) || len(m.Extra) != int(reply.Additionals) {
				t.Fatalf("the sections have other sizes than %+v", reply)
			}
			if name := m.Question[0].Name; len(m.Answer) > 0 && m.Answer[0].Header().Name != name {
				t.Fatalf("the answer is for %s, not %s", m.Answer[0].Header().Name, name)
			}
			if _, ok := dns.IsDomainName(m.Question[0].Name); !ok {
				t.Fatal("answered what is no name")
			}
		}
	})
}
