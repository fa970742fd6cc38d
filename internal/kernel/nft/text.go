package nft

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Text returns the rule as nft(8) would print it, without its comment. Expressions that this package does not write
// are shown by their name in brackets.
func (r Rule) Text(f Family) string {
	p := printer{family: f}
	for _, e := range r.Exprs {
		p.print(e)
	}
	return strings.Join(p.words, " ")
}

// printer runs a rule's expressions on text: what each register holds, and the statements so far.
type printer struct {
	family    Family
	registers [Registers]string // what each holds, at the first register of a value
	words     []string
}

// index returns which register a number of the kernel's means; it is -1 for the verdict register.
func index(reg uint32) int {
	switch {
	case reg == VerdictRegister:
		return -1
	case reg <= unix.NFT_REG_4:
		return int(reg-unix.NFT_REG_1) * 4
	}
	return int(reg-firstRegister) % Registers
}

func (e Expr) attr(typ uint16) []byte {
	for _, a := range e.Attrs {
		if a.Type&attrType == typ {
			return a.Data
		}
	}
	return nil
}

func (e Expr) num(typ uint16) uint32 { return be32(e.attr(typ)) }

// nested returns the value in a nested attribute.
func (e Expr) nested(typ uint16) (data []byte) {
	_ = attrs(e.attr(typ), func(_ uint16, value []byte) error { data = value; return nil })
	return data
}

func (p *printer) set(reg uint32, text string) {
	if i := index(reg); i >= 0 {
		p.registers[i] = text
	}
}

func (p *printer) get(reg uint32) string {
	if i := index(reg); i >= 0 {
		return p.registers[i]
	}
	return ""
}

// concat returns what the registers from reg on hold, up to the first that nothing was loaded into, and forgets it.
func (p *printer) concat(reg uint32) string {
	var parts []string
	for i := index(reg); i >= 0 && i < Registers && p.registers[i] != ""; {
		text := p.registers[i]
		p.registers[i] = ""
		parts = append(parts, text)
		i++
		if strings.HasSuffix(text, "ip6 saddr") || strings.HasSuffix(text, "ip6 daddr") {
			i += 3
		}
	}
	return strings.Join(parts, " . ")
}

func (p *printer) say(format string, args ...any) {
	p.words = append(p.words, fmt.Sprintf(format, args...))
}

func (p *printer) print(e Expr) {
	switch e.Name {
	case "payload":
		p.set(e.num(unix.NFTA_PAYLOAD_DREG), p.payload(e))
	case "meta":
		p.meta(e)
	case "ct":
		if e.attr(unix.NFTA_CT_SREG) != nil {
			p.say("%s set %s", p.conntrack(e), p.get(e.num(unix.NFTA_CT_SREG)))
			return
		}
		p.set(e.num(unix.NFTA_CT_DREG), p.conntrack(e))
	case "numgen":
		text := fmt.Sprintf("numgen random mod %d", e.num(unix.NFTA_NG_MODULUS))
		if offset := e.num(unix.NFTA_NG_OFFSET); offset != 0 {
			text += fmt.Sprintf(" offset %d", offset)
		}
		p.set(e.num(unix.NFTA_NG_DREG), text)
	case "fib":
		text := "fib daddr type"
		if e.num(unix.NFTA_FIB_FLAGS)&unix.NFTA_FIB_F_SADDR != 0 {
			text = "fib saddr type"
		}
		p.set(e.num(unix.NFTA_FIB_DREG), text)
	case "socket":
		p.set(e.num(socketDestination), socketText(e))
	case "bitwise":
		p.bitwise(e)
	case "cmp":
		p.compare(e)
	case "lookup":
		p.lookup(e)
	default:
		p.statement(e)
	}
}

func (p *printer) statement(e Expr) {
	switch e.Name {
	case "immediate":
		if reg := e.num(unix.NFTA_IMMEDIATE_DREG); reg != VerdictRegister {
			p.set(reg, immediateText(e.nested(unix.NFTA_IMMEDIATE_DATA)))
			return
		}
		v, _ := decodeVerdict(e.nested(unix.NFTA_IMMEDIATE_DATA))
		p.say("%s", v)
	case "nat":
		p.say("dnat %s to %s", p.family, p.get(e.num(unix.NFTA_NAT_REG_ADDR_MIN)))
	case "notrack":
		p.say("notrack")
	case "masq":
		p.say("masquerade fully-random")
	case "reject":
		if e.num(unix.NFTA_REJECT_TYPE) == unix.NFT_REJECT_TCP_RST {
			// nft(8) takes the match of the protocol before it for a part of it.
			if last := len(p.words) - 1; last >= 0 && p.words[last] == "meta l4proto tcp" {
				p.words = p.words[:last]
			}
			p.say("reject with tcp reset")
			return
		}
		p.say("reject")
	case "tproxy":
		addr, port := p.get(e.num(tproxyAddr)), p.get(e.num(tproxyPort))
		if p.family == IPv6 {
			addr = "[" + addr + "]"
		}
		p.say("tproxy to %s:%s", addr, port)
	case "dynset":
		timeout := time.Duration(be64(e.attr(unix.NFTA_DYNSET_TIMEOUT))) * time.Millisecond
		key, data := p.concat(e.num(unix.NFTA_DYNSET_SREG_KEY)), p.concat(e.num(unix.NFTA_DYNSET_SREG_DATA))
		p.say("update @%s { %s timeout %s : %s }", cstring(e.attr(unix.NFTA_DYNSET_SET_NAME)), key, formatTimeout(timeout), data)
	default:
		p.say("[%s]", e.Name)
	}
}

// immediateText returns an address, or a port.
func immediateText(data []byte) string {
	if len(data) == 2 {
		return fmt.Sprint(binary.BigEndian.Uint16(data))
	}
	addr, _ := netip.AddrFromSlice(data)
	return addr.String()
}

// formatTimeout writes a time as nft(8) does: 1d2h3m4s500ms, without the parts that are zero.
func formatTimeout(d time.Duration) string {
	text := ""
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if n := d / unit.length; n > 0 {
			text += fmt.Sprintf("%d%s", n, unit.name)
			d -= n * unit.length
		}
	}
	return text
}

func (p *printer) payload(e Expr) string {
	offset := e.num(unix.NFTA_PAYLOAD_OFFSET)
	source, destination, _ := addressOffsets(p.family)
	switch base := e.num(unix.NFTA_PAYLOAD_BASE); {
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2:
		return "th dport"
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == 0:
		return "th sport"
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == source:
		return p.family.String() + " saddr"
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == destination:
		return p.family.String() + " daddr"
	}
	return "[payload]"
}

func (p *printer) meta(e Expr) {
	name := map[uint32]string{
		unix.NFT_META_MARK: "meta mark", unix.NFT_META_L4PROTO: "meta l4proto", unix.NFT_META_IIFNAME: "iifname",
	}[e.num(unix.NFTA_META_KEY)]
	if e.attr(unix.NFTA_META_SREG) != nil {
		p.say("%s set %s", name, p.get(e.num(unix.NFTA_META_SREG)))
		return
	}
	p.set(e.num(unix.NFTA_META_DREG), name)
}

func (p *printer) conntrack(e Expr) string {
	switch e.num(unix.NFTA_CT_KEY) {
	case unix.NFT_CT_STATE:
		return "ct state"
	case unix.NFT_CT_MARK:
		return "ct mark"
	case unix.NFT_CT_DIRECTION:
		return "ct direction"
	case unix.NFT_CT_STATUS:
		return "ct status"
	case unix.NFT_CT_PROTO_DST:
		return "ct original proto-dst"
	case unix.NFT_CT_DST_IP, unix.NFT_CT_DST_IP6:
		return "ct original " + p.family.String() + " daddr"
	}
	return "[ct]"
}

// bitwise prints masks of addresses as prefix lengths, and those of marks as nft(8) prints `or` and `and`.
func (p *printer) bitwise(e Expr) {
	reg := e.num(unix.NFTA_BITWISE_SREG)
	mask, xor := e.nested(unix.NFTA_BITWISE_MASK), e.nested(unix.NFTA_BITWISE_XOR)
	text := p.get(reg)
	switch mark := text == "meta mark" || text == "ct mark"; {
	case mark && number(xor) != 0:
		p.set(reg, fmt.Sprintf("%s | 0x%08x", text, number(xor)))
	case mark:
		p.set(reg, fmt.Sprintf("%s & 0x%08x", text, number(mask)))
	case strings.HasPrefix(text, "ct "):
		p.set(reg, text+" &"+flagName(text, mask))
	default:
		p.set(reg, fmt.Sprintf("%s /%d", text, prefixLength(mask)))
	}
}

func flagName(text string, mask []byte) string {
	switch {
	case text == "ct status" && number(mask) == TranslatedStatus:
		return " dnat"
	case text == "ct state" && number(mask) == InvalidState:
		return " invalid"
	}
	return fmt.Sprintf(" 0x%x", number(mask))
}

// number reads four bytes in the machine's order.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func prefixLength(mask []byte) (n int) {
	for _, b := range mask {
		n += bits.OnesCount8(b)
	}
	return n
}

func (p *printer) compare(e Expr) {
	text, data := p.get(e.num(unix.NFTA_CMP_SREG)), e.nested(unix.NFTA_CMP_DATA)
	p.set(e.num(unix.NFTA_CMP_SREG), "")
	not := ""
	if e.num(unix.NFTA_CMP_OP) == unix.NFT_CMP_NEQ {
		not = "!= "
	}
	name, suffix, masked := strings.Cut(text, " /")
	switch {
	case strings.HasPrefix(text, "meta mark"), strings.HasPrefix(text, "ct mark"):
		p.say("%s %s0x%08x", text, strings.Replace(not+"== ", "!= == ", "!= ", 1), number(data))
	case text == "ct direction":
		p.say("ct direction %s%s", not, map[bool]string{true: "original", false: "reply"}[string(data) == string(OriginalDirection())])
	case text == "meta l4proto" && len(data) == 1:
		p.say("meta l4proto %s%s", not, formatPart(typeInetProto, data))
	case strings.Contains(text, " & ") && strings.HasPrefix(text, "ct "):
		p.say("%s", strings.Replace(text, " & ", " ", 1))
	case strings.HasPrefix(text, "fib ") && string(data) == string(LocalType()):
		p.say("%s %slocal", text, not)
	case strings.HasPrefix(text, "socket ") && len(data) == 1:
		p.say("%s %s%d", text, not, data[0])
	case strings.HasPrefix(text, "th ") && len(data) == 2:
		p.say("%s %s%d", text, not, binary.BigEndian.Uint16(data))
	case text == "iifname" && len(data) < unix.IFNAMSIZ:
		p.say("iifname %s%q", not, string(data)+"*")
	case text == "iifname":
		p.say("iifname %s%q", not, cstring(data))
	case masked:
		addr, _ := netip.AddrFromSlice(data)
		p.say("%s %s%s/%s", name, not, addr, suffix)
	default:
		addr, _ := netip.AddrFromSlice(data)
		p.say("%s %s%s", text, not, addr)
	}
}

func (p *printer) lookup(e Expr) {
	set := cstring(e.attr(unix.NFTA_LOOKUP_SET))
	reg := e.num(unix.NFTA_LOOKUP_SREG)
	key := p.concat(reg)
	switch dreg := e.attr(unix.NFTA_LOOKUP_DREG); {
	case dreg == nil && e.num(unix.NFTA_LOOKUP_FLAGS) != 0:
		p.say("%s != @%s", key, set)
	case dreg == nil:
		p.say("%s @%s", key, set)
	case be32(dreg) == VerdictRegister:
		p.say("%s vmap @%s", key, set)
	default:
		p.set(be32(dreg), key+" map @"+set)
	}
}
