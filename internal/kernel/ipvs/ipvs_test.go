package ipvs

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestReuseMode(t *testing.T) {
	for release, want := range map[string]int{"4.19.0-26-amd64": 0, "5.8.18": 0, "5.9.0-rc1": 1, "6.1.176": 1, "unknown": 1} {
		if got := reuseMode(release); got != want {
			t.Errorf("%s: %d, want %d", release, got, want)
		}
	}
}

// TestMessages: what is written in the form that the kernel takes is read in the form that it gives, which is the same.
func TestMessages(t *testing.T) {
	for _, c := range []Change{
		{Op: AddService, Service: Service{Key: Key{model.IPv4, 0x8010}, Scheduler: "rr"}},
		{Op: SetService, Service: Service{Key: Key{model.IPv6, 1<<31 | 1}, Scheduler: "lblcr", Persistence: 3 * time.Hour}},
		{Op: AddDestination, Service: Service{Key: Key{model.IPv4, 1}}, Destination: Destination{netip.MustParseAddrPort("10.1.0.2:8080"), 1}},
		{Op: SetDestination, Service: Service{Key: Key{model.IPv6, 2}}, Destination: Destination{netip.MustParseAddrPort("[fd00::2]:443"), 0}},
	} {
		var w writer
		w.change(30, 0, 7, &c)
		body := w.buf[headerLen+genericLen:]
		got := Change{Op: Op(w.buf[headerLen])}
		var byMark bool
		var err error
		if got.Service, byMark, err = decodeService(body); err != nil || !byMark {
			t.Fatalf("%s: by mark %t, error %v", &c, byMark, err)
		}
		if c.ofDestination() {
			server, err := decodeServer(body, c.Service.Key.Family)
			if err != nil {
				t.Fatal(err)
			}
			got.Destination = server.Destination
		}
		if diff := cmp.Diff(c, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", &c, diff)
		}
	}
}

// FuzzDecode: no message makes a reader panic.
func FuzzDecode(f *testing.F) {
	var w writer
	w.change(30, 0, 7, &Change{
		Op: AddDestination, Service: Service{Key: Key{model.IPv4, 1}},
		Destination: Destination{netip.MustParseAddrPort("10.1.0.2:8080"), 1},
	})
	f.Add(w.buf[headerLen+genericLen:])
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _, _ = decodeService(body)
		_, _ = decodeServer(body, model.IPv4)
	})
}
