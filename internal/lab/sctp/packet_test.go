package sctp

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode reads packets: what can be read is the same after it has been written.
func FuzzDecode(f *testing.F) {
	head := header{from: 1234, to: 5000, tag: 7}
	f.Add(encode(head, initiation{tag: 1, tsn: 2}.chunk(typeInit)))
	f.Add(encode(head, initiation{tag: 1, tsn: 2, cookie: []byte("cookie")}.chunk(typeInitAck)))
	f.Add(encode(head, sack(9), data(3, 1, []byte("hello"))))
	f.Add(encode(head, chunk{kind: typeAbort}))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) >= headerLength {
			binary.LittleEndian.PutUint32(packet[8:], checksum(packet))
		}
		head, chunks, err := decode(packet)
		if err != nil {
			return
		}
		for _, c := range chunks {
			// It may refuse what it is given, and no more.
			_, _ = parseInitiation(c.value)
		}
		again, same, err := decode(encode(head, chunks...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(chunks, same, cmp.AllowUnexported(chunk{})); diff != "" || again != head {
			t.Errorf("%+v, then %+v (-before +after):\n%s", head, again, diff)
		}
	})
}

func TestInitiation(t *testing.T) {
	want := initiation{tag: 1, tsn: 2, cookie: []byte("odd")}
	got, err := parseInitiation(want.chunk(typeInitAck).value)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(initiation{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
