package message

import (
	"bytes"
	"net/netip"
	"strings"
)

// Hostname returns the name or address of an authority in lower case, without port and final dot; an address of IPv6 keeps its
// brackets. It is false for an authority that is empty, or is none. before is the name of the request before on the connection: it is
// mostly the same, and then nothing is allocated.
func Hostname(authority []byte, before string) (string, bool) {
	if len(authority) == 0 {
		return "", false
	}
	host := authority
	if authority[0] == '[' {
		end := bytes.IndexByte(authority, ']')
		if end < 0 || !goodPort(authority[end+1:]) {
			return "", false
		}
		host = authority[:end+1]
	} else if i := bytes.IndexByte(authority, ':'); i >= 0 {
		if !goodPort(authority[i:]) {
			return "", false
		}
		host = authority[:i]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	switch {
	case string(host) == before && before != "":
		return before, true
	case len(host) == 0, host[0] != '[' && !goodName(host), host[0] == '[' && !goodAddress(host[1:len(host)-1]):
		return "", false
	}
	return strings.ToLower(string(host)), true
}

// goodName says whether a host name has only letters, digits, "-", "_" and "." in it, and no empty label.
func goodName(name []byte) bool {
	before := byte('.')
	for _, c := range name {
		switch {
		case c == '.' && before == '.':
			return false
		case c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			return false
		}
		before = c
	}
	return before != '.'
}

// goodAddress says whether b is an address of IPv6 without a zone.
func goodAddress(b []byte) bool {
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6() && a.Zone() == ""
}

// goodPort says whether b is nothing, or a colon and digits.
func goodPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return b[0] == ':' && len(b) <= 6
}
