package policy

// arena holds the bytes that are made for one request. Slices of it stay valid when it grows, until reset.
type arena struct{ buf []byte }

func (a *arena) reset() {
	if cap(a.buf) > maxArena {
		a.buf = nil
	}
	a.buf = a.buf[:0]
}

// maxArena is how much an idle Exchange keeps.
const maxArena = 16 << 10

// keep returns what was appended since mark, which len(a.buf) was before.
func (a *arena) keep(mark int) []byte { return a.buf[mark:len(a.buf):len(a.buf)] }

// value keeps what was appended since mark without the bytes that no field value may have: control characters but the tab (RFC 9110,
// section 5.5), and white space at its ends. All fields that policies make end here.
func (a *arena) value(mark int) []byte {
	kept := a.buf[:mark]
	for _, c := range a.buf[mark:] {
		if isValue(c) {
			kept = append(kept, c)
		}
	}
	a.buf = kept
	return trimSpace(a.keep(mark))
}

func isValue(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f }

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// equalFold compares without regard to the case of ASCII letters.
func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// The sets of bytes that nginx escapes (ngx_escape_uri), by what is escaped.
var (
	escapeURI  = unsafeBytes(`"#%<>?\^` + "`{|}")    // in a path
	escapeArgs = unsafeBytes(`"#%&+;<>?\^` + "`{|}") // in an argument
)

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 != 0 }

// unsafeBytes returns the set of the bytes of text, and of spaces, control characters and what is not ASCII.
func unsafeBytes(text string) *byteSet {
	s := &byteSet{2: ^uint64(0), 3: ^uint64(0)}
	s[0] = 1<<33 - 1
	s[1] = 1 << 63
	for i := range len(text) {
		s[text[i]>>6] |= 1 << (text[i] & 63)
	}
	return s
}

// appendEscaped appends text with the bytes of set in percent encoding.
func appendEscaped(dst, text []byte, set *byteSet) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range text {
		if set.has(c) {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
