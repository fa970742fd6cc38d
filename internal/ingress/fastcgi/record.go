package fastcgi

import "encoding/binary"

// The types of records (section 8).
const (
	typeBegin  = 1
	typeEnd    = 3
	typeParams = 4
	typeStdin  = 5
	typeStdout = 6
	typeStderr = 7
)

const (
	version      = 1
	requestID    = 1
	responder    = 1
	recordHeader = 8
	// maxContent is the largest content of a record that is sent: a multiple of 8, so that it needs no padding.
	maxContent = 1<<16 - 8
)

// record is the header of one.
type record struct {
	kind            byte
	id              uint16
	length, padding int
}

func appendHeader(b []byte, kind byte, n int) []byte {
	return append(b, version, kind, 0, requestID, byte(n>>8), byte(n), 0, 0)
}

// parseHeader reads the header of a record; false: it is of another version.
func parseHeader(b []byte) (record, bool) {
	return record{b[1], binary.BigEndian.Uint16(b[2:]), int(binary.BigEndian.Uint16(b[4:])), int(b[6])}, b[0] == version
}

// appendStream appends records of a stream with content; without any it is the end of the stream.
func appendStream(b []byte, kind byte, content []byte) []byte {
	for {
		n := min(len(content), maxContent)
		b = append(appendHeader(b, kind, n), content[:n]...)
		if content = content[n:]; len(content) == 0 {
			return b
		}
	}
}

// Param is a parameter of a request (section 6.2).
type Param struct {
	Name  string
	Value []byte
}

// appendParam appends a name and a value with their lengths (section 3.4).
func appendParam(b []byte, p Param) []byte {
	b = appendLength(appendLength(b, len(p.Name)), len(p.Value))
	return append(append(b, p.Name...), p.Value...)
}

func appendLength(b []byte, n int) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
}

// appendBegin appends what a request begins with: its role, and its parameters.
func appendBegin(b []byte, params []Param) []byte {
	b = append(appendHeader(b, typeBegin, 8), 0, responder, 0, 0, 0, 0, 0, 0)
	var content []byte
	for _, p := range params {
		content = appendParam(content, p)
	}
	if len(content) > 0 {
		b = appendStream(b, typeParams, content)
	}
	return appendStream(b, typeParams, nil)
}
