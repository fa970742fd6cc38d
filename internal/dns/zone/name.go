package zone

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"unsafe"
)

// maxName is the greatest length of a name in wire format (RFC 1035, 2.3.4).
const maxName = 255

// labels are where the labels of a name begin, left to right, without the root.
type labels struct {
	name  []byte
	start [maxName / 2]uint8
	n     int
}

// split finds the labels of a name in wire format; false: it is none.
func (l *labels) split(name []byte) bool {
	l.name, l.n = name, 0
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for at := 0; ; {
		length := int(name[at])
		switch {
		case length == 0:
			return at == len(name)-1
		case length > maxLabel || at+1+length >= len(name):
			return false
		}
		l.start[l.n] = uint8(at)
		l.n++
		at += 1 + length
	}
}

// at returns a label.
func (l *labels) at(i int) []byte {
	at := int(l.start[i])
	return l.name[at+1 : at+1+int(l.name[at])]
}

// within returns how many labels are left of a zone, in wire format; false: the name is not in it.
func (l *labels) within(zone string) (int, bool) {
	at := len(l.name) - len(zone)
	if at < 0 || string(l.name[at:]) != zone {
		return 0, false
	}
	if len(zone) == 1 {
		return l.n, true
	}
	for i := l.n - 1; i >= 0; i-- {
		if int(l.start[i]) == at {
			return i, true
		}
	}
	return 0, false
}

// wireName returns a fully qualified name in wire format, with its case.
func wireName(s string) (string, error) {
	trimmed := strings.TrimSuffix(s, ".")
	var out []byte
	if trimmed != "" {
		for label := range strings.SplitSeq(trimmed, ".") {
			if label == "" || len(label) > maxLabel || strings.ContainsRune(label, '\\') {
				return "", fmt.Errorf("%q is not a domain name: the label %q is empty, longer than 63 bytes or escaped", s, label)
			}
			out = append(append(out, byte(len(label))), label...)
		}
	}
	if out = append(out, 0); len(out) > maxName {
		return "", fmt.Errorf("%q is not a domain name: it is longer than 253 characters", s)
	}
	return string(out), nil
}

// text returns bytes as a string that is valid for as long as they do not change: for look-ups that keep nothing.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

const (
	reverse4 = "\x07in-addr\x04arpa\x00"
	reverse6 = "\x03ip6\x04arpa\x00"
)

// isReverse reports whether a zone is for reverse look-ups.
func isReverse(zone string) bool {
	return strings.HasSuffix(zone, reverse4) || strings.HasSuffix(zone, reverse6)
}

// reverseAddr returns the address that a name of in-addr.arpa (RFC 1035) or ip6.arpa (RFC 3596) stands for.
func (l *labels) reverseAddr() (netip.Addr, bool) {
	if n, ok := l.within(reverse4); ok && n == 4 {
		var b [4]byte
		for i := range b {
			v, ok := decimal(l.at(3 - i))
			if !ok {
				return netip.Addr{}, false
			}
			b[i] = v
		}
		return netip.AddrFrom4(b), true
	}
	if n, ok := l.within(reverse6); ok && n == 32 {
		var b [16]byte
		for i := range 32 {
			v, ok := nibble(l.at(31 - i))
			if !ok {
				return netip.Addr{}, false
			}
			b[i/2] = b[i/2]<<4 | v
		}
		return netip.AddrFrom16(b).Unmap(), true
	}
	return netip.Addr{}, false
}

// decimal returns a number below 256 that is written without leading zeros.
func decimal(label []byte) (byte, bool) {
	if len(label) == 0 || len(label) > 3 || label[0] == '0' && len(label) > 1 {
		return 0, false
	}
	v := 0
	for _, c := range label {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return byte(v), v < 256
}

func nibble(label []byte) (byte, bool) {
	if len(label) != 1 {
		return 0, false
	}
	switch c := label[0]; {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// dashedAddr returns the address that the first label of a pod's name stands for: 10-0-0-1, 2001-db8--1.
func dashedAddr(label []byte) (netip.Addr, bool) {
	if bytes.Count(label, []byte("-")) == 3 && !bytes.Contains(label, []byte("--")) {
		return dashedAddr4(label)
	}
	b := bytes.ReplaceAll(label, []byte("-"), []byte(":"))
	for _, c := range b {
		if _, ok := nibble([]byte{c}); !ok && c != ':' {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(string(b))
	return a.Unmap(), err == nil
}

// dashedAddr4 returns an IPv4 address, without an allocation.
func dashedAddr4(label []byte) (netip.Addr, bool) {
	var out [4]byte
	for i := range out {
		part, rest, _ := bytes.Cut(label, []byte("-"))
		v, ok := decimal(part)
		if !ok {
			return netip.Addr{}, false
		}
		out[i], label = v, rest
	}
	return netip.AddrFrom4(out), true
}
