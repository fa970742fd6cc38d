package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Error is the kernel's refusal of a change.
type Error struct {
	// Change says what was refused, e.g. "add to map frontends: 10.96.0.1 . tcp . 80".
	Change string
	Errno  unix.Errno
	// Explanation is the kernel's own, if it gave one.
	Explanation string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Explanation != "" {
		return fmt.Sprintf("%s: %v (%s)", e.Change, e.Errno, e.Explanation)
	}
	return fmt.Sprintf("%s: %v", e.Change, e.Errno)
}

// Unwrap returns the error number.
func (e *Error) Unwrap() error { return e.Errno }

// IsBusy reports whether a change failed because something still refers to the object.
func IsBusy(err error) bool { return errors.Is(err, unix.EBUSY) }

// IsNotExist reports whether a change failed because the object, or one that it refers to, is not there.
func IsNotExist(err error) bool { return errors.Is(err, unix.ENOENT) }

// IsUnsupported reports whether an error is one of those by which kernels refuse what they do not know.
func IsUnsupported(err error) bool {
	for _, errno := range []unix.Errno{
		unix.ENOENT, unix.EOPNOTSUPP, unix.EINVAL, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ENOPROTOOPT,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// newError explains an error message by the message of the batch that it is about.
func newError(batch []byte, m message, errno unix.Errno) *Error {
	e := &Error{Change: "commit the transaction", Errno: errno}
	explanation, offset := extendedAck(m)
	e.Explanation = explanation
	// The walk cannot fail: we wrote the batch.
	_ = messages(batch, func(sent message) error {
		if sent.seq == m.seq && sent.typ>>8 == unix.NFNL_SUBSYS_NFTABLES {
			e.Change = describe(sent, offset-messageHeader-familyHeader)
		}
		return nil
	})
	return e
}

// extendedAck returns the kernel's explanation, and where in the message the fault is, or 0.
func extendedAck(m message) (explanation string, offset int) {
	// With NETLINK_CAP_ACK, the header of the message at fault follows the error number, and then the attributes.
	const head = 4 + messageHeader
	if m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.body) < head {
		return "", 0
	}
	_ = attrs(m.body[head:], func(typ uint16, value []byte) error {
		switch typ {
		case unix.NLMSGERR_ATTR_MSG:
			explanation = cstring(value)
		case unix.NLMSGERR_ATTR_OFFS:
			if len(value) == 4 {
				offset = int(binary.NativeEndian.Uint32(value))
			}
		}
		return nil
	})
	return explanation, offset
}

// describe says what a message of a transaction does; offset is where in its attributes the fault is, if positive.
func describe(m message, offset int) string {
	name := func(typ uint16) string { return textOf(m.body, typ) }
	in := func(table string) string { return " in " + Table{Family: m.family, Name: table}.String() }
	switch m.typ & 0xff {
	case unix.NFT_MSG_NEWTABLE:
		return "add " + Table{Family: m.family, Name: name(unix.NFTA_TABLE_NAME)}.String()
	case unix.NFT_MSG_DELTABLE:
		return "delete " + Table{Family: m.family, Name: name(unix.NFTA_TABLE_NAME)}.String()
	case unix.NFT_MSG_NEWCHAIN:
		return "add chain " + name(unix.NFTA_CHAIN_NAME) + in(name(unix.NFTA_CHAIN_TABLE))
	case unix.NFT_MSG_DELCHAIN:
		return "delete chain " + name(unix.NFTA_CHAIN_NAME) + in(name(unix.NFTA_CHAIN_TABLE))
	case unix.NFT_MSG_NEWRULE:
		return "add a rule to chain " + name(unix.NFTA_RULE_CHAIN) + in(name(unix.NFTA_RULE_TABLE)) + describeRule(m)
	case unix.NFT_MSG_DELRULE:
		return "flush chain " + name(unix.NFTA_RULE_CHAIN) + in(name(unix.NFTA_RULE_TABLE))
	case unix.NFT_MSG_NEWSET:
		return "add set " + name(unix.NFTA_SET_NAME) + in(name(unix.NFTA_SET_TABLE))
	case unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		verb := "add to set "
		if m.typ&0xff == unix.NFT_MSG_DELSETELEM {
			verb = "delete from set "
		}
		return verb + name(unix.NFTA_SET_ELEM_LIST_SET) + in(name(unix.NFTA_SET_ELEM_LIST_TABLE)) + describeElement(m, offset)
	}
	return fmt.Sprintf("message type %d", m.typ)
}

func describeRule(m message) string {
	if r, err := decodeRule(m.body); err == nil {
		return ": " + r.Text(m.family)
	}
	return ""
}

// describeElement names the element at an offset into the attributes, or else a list's only one, by its key's bytes:
// what they mean only the set knows.
func describeElement(m message, offset int) string {
	var keys []string
	found := ""
	_ = decodeElements(m.body, func(e Element, start, end int) error {
		key := guessKey(e.Key)
		keys = append(keys, key)
		if start <= offset && offset < end {
			found = ": " + key
		}
		return nil
	})
	if found == "" && len(keys) == 1 {
		return ": " + keys[0]
	}
	if found == "" {
		return fmt.Sprintf(": one of %d elements", len(keys))
	}
	return found
}

// textOf returns a string attribute of a message.
func textOf(body []byte, want uint16) (s string) {
	_ = attrs(body, func(typ uint16, value []byte) error {
		if typ == want {
			s = cstring(value)
		}
		return nil
	})
	return s
}
