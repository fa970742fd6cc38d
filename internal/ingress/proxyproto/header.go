package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// maxV1 is the longest header of version 1, with CRLF.
	maxV1 = 107
	// MaxSize is the longest header that is read: version 2 allows 64 KiB of additions, load balancers send some hundred bytes.
	MaxSize = 4 << 10
	// fixedV2 is what precedes the addresses of version 2.
	fixedV2 = 16
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Header is what a header says. Both addresses are invalid where it says nothing about a client: the connection is the sender's own.
type Header struct{ Source, Destination netip.AddrPort }

// ErrMalformed is what reading anything but a header of the PROXY protocol returns.
var ErrMalformed = errors.New("not a header of the PROXY protocol")

// Parse reads the header at the beginning of b and returns its length; 0 says that b is too short to tell. An error is ErrMalformed.
func Parse(b []byte) (Header, int, error) {
	if n := min(len(b), len(signature)); n > 0 && string(b[:n]) == signature[:n] {
		return parseV2(b)
	}
	const prefix = "PROXY "
	if n := min(len(b), len(prefix)); string(b[:n]) != prefix[:n] {
		return Header{}, 0, ErrMalformed
	}
	end := bytes.IndexByte(b[:min(len(b), maxV1)], '\n')
	switch {
	case end < 0 && len(b) < maxV1:
		return Header{}, 0, nil
	case end < 1 || b[end-1] != '\r':
		return Header{}, 0, ErrMalformed
	}
	h, ok := parseV1(string(b[len(prefix) : end-1]))
	if !ok {
		return Header{}, 0, ErrMalformed
	}
	return h, end + 1, nil
}

// parseV1 reads what follows "PROXY ", without CRLF.
func parseV1(line string) (Header, bool) {
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return Header{}, !strings.ContainsRune(line, '\r')
	}
	words := strings.Split(line, " ")
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return Header{}, false
	}
	source, ok1 := address(words[1], words[3], words[0] == "TCP4")
	destination, ok2 := address(words[2], words[4], words[0] == "TCP4")
	return Header{source, destination}, ok1 && ok2
}

// address reads an address and a port without signs and leading zeros.
func address(addr, port string, four bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4() != four || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// The values of the 13th and 14th byte of version 2.
const (
	local, proxied                = 0x20, 0x21
	tcp4, udp4, tcp6, udp6        = 0x11, 0x12, 0x21, 0x22
	unspecified, unixTCP, unixUDP = 0x00, 0x31, 0x32
)

func parseV2(b []byte) (Header, int, error) {
	if len(b) < fixedV2 {
		return Header{}, 0, nil
	}
	n := fixedV2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case n > MaxSize, b[12] != local && b[12] != proxied:
		return Header{}, 0, ErrMalformed
	case len(b) < n:
		return Header{}, 0, nil
	case b[12] == local:
		return Header{}, n, nil
	}
	body := b[fixedV2:n]
	var h Header
	var size int
	switch b[13] {
	case unspecified:
		return h, n, nil
	case tcp4, udp4:
		size = 12
	case tcp6, udp6:
		size = 36
	case unixTCP, unixUDP:
		size = 216
	default:
		return h, 0, ErrMalformed
	}
	if len(body) < size || !goodAdditions(body[size:]) {
		return h, 0, ErrMalformed
	}
	if size < 216 {
		h = addressesV2(body[:size])
	}
	return h, n, nil
}

// addressesV2 reads two addresses and two ports.
func addressesV2(b []byte) Header {
	n := (len(b) - 4) / 2
	source, _ := netip.AddrFromSlice(b[:n])
	destination, _ := netip.AddrFromSlice(b[n : 2*n])
	return Header{
		netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(b[2*n:])),
		netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(b[2*n+2:])),
	}
}

// goodAdditions says whether b is a list of type, length and value.
func goodAdditions(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 3 {
			return false
		}
		n := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Append appends a header of version 1. Without both addresses of one family it is that of an unknown client.
func Append(b []byte, h Header) []byte {
	source, destination := h.Source.Addr().Unmap(), h.Destination.Addr().Unmap()
	switch {
	case !source.IsValid() || !destination.IsValid():
		return append(b, "PROXY UNKNOWN\r\n"...)
	case source.Is4() && destination.Is4():
		b = append(b, "PROXY TCP4 "...)
	default:
		b = append(b, "PROXY TCP6 "...)
		source, destination = netip.AddrFrom16(source.As16()), netip.AddrFrom16(destination.As16())
	}
	b = append(source.WithZone("").AppendTo(b), ' ')
	b = append(destination.WithZone("").AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(h.Source.Port()), 10), ' ')
	b = strconv.AppendUint(b, uint64(h.Destination.Port()), 10)
	return append(b, "\r\n"...)
}
