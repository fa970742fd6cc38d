package nft

import (
	"encoding/binary"
)

// Userdata is a list of type, length, value that the kernel stores and does not read. The types are those of
// libnftnl/udata.h; nft(8) skips the ones that it does not know.
const (
	tableComment = 0
	chainComment = 0
	ruleComment  = 0
	// ruleDigest is a type of ours: eight bytes that tell whether a rule is the one we wrote.
	ruleDigest = 0x53

	setKeyByteOrder  = 0
	setDataByteOrder = 1
	setKeyTypeOf     = 3
	setDataTypeOf    = 4
	setComment       = 7

	typeOfExpr = 0
	typeOfData = 1

	// Kinds of expressions in nft(8) (its include/expression.h, enum expr_types).
	exprPayload = 7
	exprMeta    = 9
	exprConcat  = 13
	exprNumgen  = 23

	bigEndian = 2 // nft(8)'s enum byteorder
)

func udata(buf []byte, typ byte, value []byte) []byte {
	return append(append(buf, typ, byte(len(value))), value...)
}

// udataText appends a string with its terminating zero, cut to what fits.
func udataText(buf []byte, typ byte, s string) []byte {
	s = s[:min(len(s), 127)]
	return udata(buf, typ, append([]byte(s), 0))
}

func udataU32(buf []byte, typ byte, v uint32) []byte {
	return udata(buf, typ, binary.NativeEndian.AppendUint32(nil, v))
}

// udataFind returns the value of the first entry of a type.
func udataFind(buf []byte, typ byte) ([]byte, bool) {
	for len(buf) >= 2 {
		length := int(buf[1])
		if 2+length > len(buf) {
			return nil, false
		}
		if buf[0] == typ {
			return buf[2 : 2+length], true
		}
		buf = buf[2+length:]
	}
	return nil, false
}

// udataString returns the text of the first entry of a type.
func udataString(buf []byte, typ byte) string {
	value, _ := udataFind(buf, typ)
	return cstring(value)
}

// payloadTypeOf describes a header field by nft(8)'s numbers of the protocol and of the field in it.
func payloadTypeOf(protocol, field uint32) []byte {
	return typeOf(exprPayload, udataU32(udataU32(nil, 0, protocol), 1, field))
}

func metaTypeOf(key uint32) []byte { return typeOf(exprMeta, udataU32(nil, 0, key)) }

// numgenTypeOf describes "numgen random mod 1"; nft(8) needs a modulus and takes only the type from it.
func numgenTypeOf() []byte {
	return typeOf(exprNumgen, udataU32(udataU32(udataU32(nil, 0, 1), 1, 1), 2, 0))
}

func typeOf(expr uint32, data []byte) []byte {
	return udata(udataU32(nil, typeOfExpr, expr), typeOfData, data)
}

// setUserdata tells nft(8) how to print elements. Only types that a name exists for can do without typeof.
func setUserdata(s *Set, comment string) []byte {
	var buf []byte
	if len(s.keyParts) == 1 {
		buf = udataU32(buf, setKeyByteOrder, bigEndian)
	} else {
		buf = udataU32(buf, setKeyByteOrder, 0)
	}
	buf = udataU32(buf, setDataByteOrder, 0)
	if hasNumber(s.keyParts) {
		buf = udata(buf, setKeyTypeOf, concatTypeOf(s.keyParts))
		buf = udata(buf, setDataTypeOf, concatTypeOf(s.values))
	}
	return udataText(buf, setComment, comment)
}

func hasNumber(parts []Field) bool {
	for _, p := range parts {
		if p.typ == typeInteger {
			return true
		}
	}
	return false
}

func concatTypeOf(parts []Field) []byte {
	var list []byte
	for i, p := range parts {
		list = udata(list, byte(i), p.typeOf)
	}
	return typeOf(exprConcat, list)
}
