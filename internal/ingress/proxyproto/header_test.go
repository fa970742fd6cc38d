package proxyproto

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func header(source, destination string) Header {
	return Header{netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)}
}

var equal = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// v2 builds a header of version 2.
func v2(command, family byte, body string) string {
	return signature + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

const (
	body4 = "\x01\x02\x03\x04\x05\x06\x07\x08\x04\xd2\x01\xbb"
	body6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x04\xd2\x01\xbb"
)

var good = map[string]Header{
	"PROXY TCP4 1.2.3.4 5.6.7.8 1234 443\r\n":                header("1.2.3.4:1234", "5.6.7.8:443"),
	"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n": header("255.255.255.255:65535", "255.255.255.255:0"),
	"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n":        header("[2001:db8::1]:1234", "[2001:db8::2]:443"),
	"PROXY TCP6 ::ffff:1.2.3.4 2001:db8::2 1234 443\r\n":     header("1.2.3.4:1234", "[2001:db8::2]:443"),
	"PROXY UNKNOWN\r\n":                                                {},
	"PROXY UNKNOWN ffff::1 ffff::2 what ever\r\n":                      {},
	v2(proxied, tcp4, body4):                                           header("1.2.3.4:1234", "5.6.7.8:443"),
	v2(proxied, udp4, body4):                                           header("1.2.3.4:1234", "5.6.7.8:443"),
	v2(proxied, tcp6, body6):                                           header("[2001:db8::1]:1234", "[2001:db8::2]:443"),
	v2(proxied, tcp4, body4+"\x04\x00\x02xx\xea\x00\x00"):              header("1.2.3.4:1234", "5.6.7.8:443"),
	v2(proxied, unspecified, ""):                                       {},
	v2(proxied, unixTCP, strings.Repeat("\x00", 216)):                  {},
	v2(local, unspecified, ""):                                         {},
	v2(local, tcp4, "anything"):                                        {},
	v2(proxied, tcp4, body4+"\x04\x0f\x00"+strings.Repeat("x", 0xf00)): header("1.2.3.4:1234", "5.6.7.8:443"),
}

func TestParse(t *testing.T) {
	for text, want := range good {
		for i := range len(text) {
			if _, n, err := Parse([]byte(text[:i])); n != 0 || err != nil {
				t.Fatalf("%q: %d, %v", text[:i], n, err)
			}
		}
		h, n, err := Parse([]byte(text + "GET / HTTP/1.1\r\n"))
		if n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
		if diff := cmp.Diff(want, h, equal); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1234 443\n",
		"PROXY  TCP4 1.2.3.4 5.6.7.8 1234 443\r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8  1234 443\r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1234 443 \r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 01234 443\r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 +1234 443\r\n",
		"PROXY TCP4 1.2.3.4 5.6.7.8 65536 443\r\n",
		"PROXY TCP4 1.2.3.04 5.6.7.8 1234 443\r\n",
		"PROXY TCP4 1.2.3 5.6.7.8 1234 443\r\n",
		"PROXY TCP4 ::1 ::2 1234 443\r\n",
		"PROXY TCP6 1.2.3.4 5.6.7.8 1234 443\r\n",
		"PROXY TCP6 fe80::1%eth0 ::2 1234 443\r\n",
		"PROXY UDP4 1.2.3.4 5.6.7.8 1234 443\r\n",
		"PROXY UNKNOWNS\r\n",
		"proxy UNKNOWN\r\n",
		"PROXY \r\n",
		"PROXY UNKNOWN" + strings.Repeat(" x", 60) + "\r\n",
		"\r\n\r\n\x00\r\nQUIX\n",
		v2(0x22, tcp4, body4),
		v2(0x11, tcp4, body4),
		v2(proxied, 0x13, body4),
		v2(proxied, tcp4, body4[:11]),
		v2(proxied, tcp6, body4),
		v2(proxied, tcp4, body4+"\x04\x00"),
		v2(proxied, tcp4, body4+"\x04\x00\x03xx"),
		v2(proxied, tcp4, body4+"\x04\x10\x00"+strings.Repeat("x", 0x1000)),
	} {
		if h, n, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, %d, %v", text, h, n, err)
		}
	}
}

func TestAppend(t *testing.T) {
	for want, h := range map[string]Header{
		"PROXY TCP4 1.2.3.4 5.6.7.8 1234 443\r\n":            header("1.2.3.4:1234", "5.6.7.8:443"),
		"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n":    header("[2001:db8::1]:1234", "[2001:db8::2]:443"),
		"PROXY TCP6 ::ffff:1.2.3.4 2001:db8::2 1234 443\r\n": header("1.2.3.4:1234", "[2001:db8::2]:443"),
		"PROXY UNKNOWN\r\n":                                  {},
	} {
		if diff := cmp.Diff(want, string(Append(nil, h))); diff != "" {
			t.Error(diff)
		}
	}
}

// pieces is a connection whose reads return a byte each.
type pieces struct {
	bytes.Buffer
	back  []byte
	until time.Time
}

func (p *pieces) Read(b []byte) (int, error)        { return p.Buffer.Read(b[:1]) }
func (p *pieces) Unread(b []byte)                   { p.back = append(p.back, b...) }
func (p *pieces) SetReadDeadline(t time.Time) error { p.until = t; return nil }

// whole is a connection that has everything at once.
type whole struct{ *pieces }

func (w whole) Read(b []byte) (int, error) { return w.Buffer.Read(b) }

func TestRead(t *testing.T) {
	text := v2(proxied, tcp4, body4+"\x04\x04\x00"+strings.Repeat("x", 0x400))
	c := &pieces{}
	c.WriteString(text + "hello")
	if h, err := Read(c, time.Now()); err != nil || h != header("1.2.3.4:1234", "5.6.7.8:443") || c.String() != "hello" || !c.until.IsZero() {
		t.Errorf("%v, %v, then %q", h, err, c.String())
	}
	w := whole{&pieces{}}
	w.WriteString("PROXY UNKNOWN\r\nhello")
	if h, err := Read(w, time.Now()); err != nil || h != (Header{}) || string(w.back) != "hello" {
		t.Errorf("%v, %v, then %q", h, err, w.back)
	}
	for text, want := range map[string]error{"": io.EOF, "PROXY": io.EOF, "hello": ErrMalformed} {
		c := &pieces{}
		c.WriteString(text)
		if _, err := Read(c, time.Now()); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse holds the parser against itself: what it takes is taken again, whatever follows, and what it understands is written so
// that it is understood again.
func FuzzParse(f *testing.F) {
	for text := range good {
		f.Add([]byte(text))
	}
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 01234 443\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		if n < 0 || n > len(b) || n > MaxSize || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d of %d, %v", n, len(b), err)
		}
		if n == 0 {
			return
		}
		if again, size, err := Parse(append(b[:n:n], "\r\n\r\n"...)); again != h || size != n || err != nil {
			t.Errorf("again: %v, %d, %v", again, size, err)
		}
		if again, _, err := Parse(Append(nil, h)); err != nil || again != h {
			t.Errorf("written and read: %v instead of %v, %v", again, h, err)
		}
	})
}
