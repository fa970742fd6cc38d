package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// errNoKey is returned for an element without a key.
var errNoKey = errors.New("set element without a key")

func decodeTable(f Family, body []byte) (t Table, err error) {
	t.Family = f
	err = attrs(body, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_TABLE_NAME:
			t.Name = cstring(value)
		case tableUserdata:
			t.Comment = udataString(value, tableComment)
		}
		return nil
	})
	return t, err
}

func decodeChain(body []byte) (c Chain, table string, err error) {
	var hook Hook
	err = attrs(body, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_CHAIN_TABLE:
			table = cstring(value)
		case unix.NFTA_CHAIN_NAME:
			c.Name = cstring(value)
		case unix.NFTA_CHAIN_TYPE:
			hook.Type = cstring(value)
		case chainUserdata:
			c.Comment = udataString(value, chainComment)
		case unix.NFTA_CHAIN_HOOK:
			c.Hook = &hook
			return attrs(value, func(typ uint16, value []byte) error {
				switch typ {
				case unix.NFTA_HOOK_HOOKNUM:
					hook.Number = be32(value)
				case unix.NFTA_HOOK_PRIORITY:
					hook.Priority = int32(be32(value))
				}
				return nil
			})
		}
		return nil
	})
	return c, table, err
}

func decodeRule(body []byte) (r Rule, err error) {
	err = attrs(body, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_RULE_CHAIN:
			r.Chain = cstring(value)
		case unix.NFTA_RULE_EXPRESSIONS:
			r.Exprs, err = decodeExprs(value)
			return err
		case unix.NFTA_RULE_USERDATA:
			r.Comment = udataString(value, ruleComment)
			if sum, ok := udataFind(value, ruleDigest); ok && len(sum) == 8 {
				r.Digest = binary.NativeEndian.Uint64(sum)
			}
		}
		return nil
	})
	return r, err
}

func decodeExprs(list []byte) (exprs []Expr, err error) {
	err = attrs(list, func(_ uint16, elem []byte) error {
		var e Expr
		err := attrs(elem, func(typ uint16, value []byte) error {
			switch typ {
			case unix.NFTA_EXPR_NAME:
				e.Name = cstring(value)
			case unix.NFTA_EXPR_DATA:
				return attrs(value, func(typ uint16, value []byte) error {
					e.Attrs = append(e.Attrs, Attr{typ, append([]byte(nil), value...)})
					return nil
				})
			}
			return nil
		})
		exprs = append(exprs, e)
		return err
	})
	return exprs, err
}

func decodeSet(body []byte) (s Set, table string, err error) {
	err = attrs(body, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_SET_TABLE:
			table = cstring(value)
		case unix.NFTA_SET_NAME:
			s.Name = cstring(value)
		case unix.NFTA_SET_FLAGS:
			s.Flags = be32(value)
		case unix.NFTA_SET_KEY_TYPE:
			s.KeyType = be32(value)
		case unix.NFTA_SET_KEY_LEN:
			s.KeyLen = be32(value)
		case unix.NFTA_SET_DATA_TYPE:
			s.DataType = be32(value)
		case unix.NFTA_SET_DATA_LEN:
			s.DataLen = be32(value)
		case unix.NFTA_SET_TIMEOUT:
			s.Timeout = time.Duration(be64(value)) * time.Millisecond
		case unix.NFTA_SET_USERDATA:
			s.Userdata = string(value)
		case unix.NFTA_SET_DESC:
			return attrs(value, func(typ uint16, value []byte) error {
				if typ == unix.NFTA_SET_DESC_SIZE {
					s.Size = be32(value)
				}
				return nil
			})
		}
		return nil
	})
	// The kernel reports the size of its own struct for verdicts.
	if s.DataType == verdictType {
		s.DataLen = 0
	}
	return s, table, err
}

// decodeElements walks over the elements of a message; start and end are offsets into body.
func decodeElements(body []byte, visit func(e Element, start, end int) error) error {
	return attrs(body, func(typ uint16, list []byte) error {
		if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		base := cap(body) - cap(list)
		return attrs(list, func(_ uint16, elem []byte) error {
			e, err := decodeElement(elem)
			if err != nil {
				return err
			}
			start := base + cap(list) - cap(elem)
			return visit(e, start-attrHeader, start+len(elem))
		})
	})
}

func decodeElement(elem []byte) (e Element, err error) {
	err = attrs(elem, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			return attrs(value, func(_ uint16, value []byte) error {
				e.Key = value
				return nil
			})
		case unix.NFTA_SET_ELEM_DATA:
			return attrs(value, func(typ uint16, value []byte) error {
				if typ == unix.NFTA_DATA_VERDICT {
					e.Verdict, err = decodeVerdict(value)
					return err
				}
				e.Data = value
				return nil
			})
		}
		return nil
	})
	if err == nil && e.Key == nil {
		err = errNoKey
	}
	return e, err
}

func decodeVerdict(value []byte) (v Verdict, err error) {
	err = attrs(value, func(typ uint16, value []byte) error {
		switch typ {
		case unix.NFTA_VERDICT_CODE:
			v.Code = int32(be32(value))
		case unix.NFTA_VERDICT_CHAIN:
			v.Chain = cstring(value)
		}
		return nil
	})
	return v, err
}

// guessKey formats a key whose type is not known by the lengths that keys of this package have.
func guessKey(key []byte) string {
	for _, typ := range []uint32{
		typeIPv4<<12 | typeInetProto<<6 | typeInetService, typeIPv6<<12 | typeInetProto<<6 | typeInetService,
	} {
		length := 12
		if typ>>12 == typeIPv6 {
			length = 24
		}
		if len(key) == length {
			return FormatKey(typ, key)
		}
		if len(key) == length+4 {
			return FormatKey(typ<<typeBits|typeInteger, key)
		}
	}
	return fmt.Sprintf("% x", key)
}
