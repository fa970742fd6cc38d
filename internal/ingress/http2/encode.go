package http2

import (
	"strconv"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// The encoder uses HPACK's static table only (RFC 7541 appendix A), and no Huffman code: a response's few hundred bytes cost
// less to encrypt than to compress, and a table of nothing needs no memory and cannot leak (RFC 7541 7.1).

// The forms of HPACK's representations: their first bits, and how many bits of the number follow.
const (
	formIndexed                 = 0x80
	formTableSize               = 0x20
	formNotIndexed, bitsLiteral = 0x00, 4
	bitsString                  = 7
	indexAuthority, indexMethod = 1, 2
	indexPath, indexScheme      = 4, 6
	indexStatus, indexStatus200 = 8, 8
	indexContentLength          = 28
)

// appendNumber appends an integer with a prefix of some bits (RFC 7541 5.1), before which all bits are 0.
func appendNumber(b []byte, bits uint, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(b, byte(n))
	}
	b = append(b, byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// appendField appends a field that is not indexed; its name is written in lower case.
func appendField(b, name, value []byte) []byte {
	var lower [64]byte
	n := lower[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		n = append(n, c)
	}
	if index := staticIndex(n); index != 0 {
		b = appendNumber(b, bitsLiteral, uint64(index))
	} else {
		b = append(b, formNotIndexed)
		b = appendNumber(b, bitsString, uint64(len(n)))
		b = append(b, n...)
	}
	b = appendNumber(b, bitsString, uint64(len(value)))
	return append(b, value...)
}

// appendIndexedName appends a field whose name has an index.
func appendIndexedName(b []byte, index uint64, value []byte) []byte {
	b = appendNumber(b, bitsLiteral, index)
	b = appendNumber(b, bitsString, uint64(len(value)))
	return append(b, value...)
}

// appendStatus appends the field :status.
func appendStatus(b []byte, status int) []byte {
	codes := [...]int{200, 204, 206, 304, 400, 404, 500}
	for i, code := range codes {
		if code == status {
			return append(b, formIndexed|byte(indexStatus200+i))
		}
	}
	var digits [20]byte
	return appendIndexedName(b, indexStatus, strconv.AppendInt(digits[:0], int64(status), 10))
}

// appendLength appends the field Content-Length.
func appendLength(b []byte, length int64) []byte {
	var digits [20]byte
	return appendIndexedName(b, indexContentLength, strconv.AppendInt(digits[:0], length, 10))
}

// appendRequest appends the pseudo-fields of a request.
func appendRequest(b []byte, h *Head) []byte {
	switch h.Method {
	case "GET":
		b = append(b, formIndexed|indexMethod)
	case "POST":
		b = append(b, formIndexed|indexMethod+1)
	default:
		b = appendIndexedName(b, indexMethod, []byte(h.Method))
	}
	if h.TLS {
		b = append(b, formIndexed|indexScheme+1)
	} else {
		b = append(b, formIndexed|indexScheme)
	}
	b = appendIndexedName(b, indexPath, h.Target)
	return appendIndexedName(b, indexAuthority, h.Authority)
}

// appendTrailer appends fields as they are, without those that a trailer may not have.
func appendTrailer(b []byte, trailer message.Header) []byte {
	for _, f := range trailer {
		if !connectionSpecific(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return b
}

// fieldsBegin returns the buffer for a field section. It begins with a change of the table's size where the peer has made it smaller.
func (c *conn) fieldsBegin() []byte {
	b := c.scratch[:0]
	if c.tableChanged {
		c.tableChanged = false
		b = append(b, formTableSize)
	}
	return b
}

// connectionSpecific says whether a field concerns a connection of HTTP/1.1, and may not be in a message of HTTP/2 (RFC 9113 8.2.2).
func connectionSpecific(name []byte) bool {
	switch len(name) {
	case len("upgrade"):
		return message.Equal(name, "upgrade")
	case len("connection"):
		return message.Equal(name, "connection") || message.Equal(name, "keep-alive")
	case len("proxy-connection"):
		return message.Equal(name, "proxy-connection")
	case len("transfer-encoding"):
		return message.Equal(name, "transfer-encoding")
	}
	return false
}
