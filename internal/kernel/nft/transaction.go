package nft

import (
	"encoding/binary"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// maxElementList is where a list of elements is continued in another message: an attribute is at most 64 KiB long, and
// an element is far below the difference.
const maxElementList = 60000

// Attributes that package unix does not name (linux/netfilter/nf_tables.h).
const (
	tableUserdata = 6  // NFTA_TABLE_USERDATA
	chainUserdata = 12 // NFTA_CHAIN_USERDATA
)

// Transaction is a list of changes that come into force together. The zero Transaction is empty and ready to use.
//
// Objects that are added must not be there, and those that are deleted must be: where the kernel differs from what the
// caller believes, the transaction fails and nothing changes.
type Transaction struct {
	w       writer
	count   int // changes
	seq     uint32
	message int // where the message being written starts
	setID   uint32

	list  int // where the open list of elements starts; 0: none
	owner listOwner
}

// listOwner is what the elements of the open message belong to.
type listOwner struct {
	typ    uint16
	family Family
	table  string
	set    string
}

// Len returns the number of changes: objects and elements added or deleted.
func (tx *Transaction) Len() int { return tx.count }

// Size returns the length of the encoded changes in bytes.
func (tx *Transaction) Size() int { return len(tx.w.buf) }

// Reset empties the transaction and keeps its memory.
func (tx *Transaction) Reset() { *tx = Transaction{w: writer{tx.w.buf[:0]}} }

// AddTable makes a table.
func (tx *Transaction) AddTable(t Table) {
	tx.begin(unix.NFT_MSG_NEWTABLE, t.Family, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	tx.w.text(unix.NFTA_TABLE_NAME, t.Name)
	tx.w.u32(unix.NFTA_TABLE_FLAGS, 0)
	if t.Comment != "" {
		tx.w.bytes(tableUserdata, udataText(nil, tableComment, t.Comment))
	}
	tx.end()
}

// DeleteTable deletes a table with everything in it.
func (tx *Transaction) DeleteTable(t Table) {
	tx.begin(unix.NFT_MSG_DELTABLE, t.Family, 0)
	tx.w.text(unix.NFTA_TABLE_NAME, t.Name)
	tx.end()
}

// AddChain makes a chain without rules.
func (tx *Transaction) AddChain(t Table, c Chain) {
	tx.begin(unix.NFT_MSG_NEWCHAIN, t.Family, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	tx.w.text(unix.NFTA_CHAIN_TABLE, t.Name)
	tx.w.text(unix.NFTA_CHAIN_NAME, c.Name)
	if c.Hook != nil {
		start := tx.w.begin(unix.NFTA_CHAIN_HOOK)
		tx.w.u32(unix.NFTA_HOOK_HOOKNUM, c.Hook.Number)
		tx.w.u32(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
		tx.w.end(start)
		tx.w.u32(unix.NFTA_CHAIN_POLICY, uint32(Accept))
		tx.w.text(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	}
	if c.Comment != "" {
		tx.w.bytes(chainUserdata, udataText(nil, chainComment, c.Comment))
	}
	tx.end()
}

// DeleteChain deletes a chain with its rules; nothing may refer to it.
func (tx *Transaction) DeleteChain(t Table, name string) {
	tx.begin(unix.NFT_MSG_DELCHAIN, t.Family, 0)
	tx.w.text(unix.NFTA_CHAIN_TABLE, t.Name)
	tx.w.text(unix.NFTA_CHAIN_NAME, name)
	tx.end()
}

// FlushChain deletes the rules of a chain.
func (tx *Transaction) FlushChain(t Table, name string) {
	tx.begin(unix.NFT_MSG_DELRULE, t.Family, 0)
	tx.w.text(unix.NFTA_RULE_TABLE, t.Name)
	tx.w.text(unix.NFTA_RULE_CHAIN, name)
	tx.end()
}

// AddRule appends a rule to its chain. Its Digest is computed, whatever r says.
func (tx *Transaction) AddRule(t Table, r Rule) {
	tx.begin(unix.NFT_MSG_NEWRULE, t.Family, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	tx.w.text(unix.NFTA_RULE_TABLE, t.Name)
	tx.w.text(unix.NFTA_RULE_CHAIN, r.Chain)
	start := tx.w.begin(unix.NFTA_RULE_EXPRESSIONS)
	tx.w.exprs(r.Exprs)
	sum := digest(tx.w.buf[start:], r.Comment)
	tx.w.end(start)
	tx.w.bytes(unix.NFTA_RULE_USERDATA, ruleUserdata(r.Comment, sum))
	tx.end()
}

// AddSet makes an empty set or map.
func (tx *Transaction) AddSet(t Table, s *Set) {
	tx.setID++
	tx.begin(unix.NFT_MSG_NEWSET, t.Family, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	tx.w.text(unix.NFTA_SET_TABLE, t.Name)
	tx.w.text(unix.NFTA_SET_NAME, s.Name)
	tx.w.u32(unix.NFTA_SET_FLAGS, s.Flags)
	tx.w.u32(unix.NFTA_SET_KEY_TYPE, s.KeyType)
	tx.w.u32(unix.NFTA_SET_KEY_LEN, s.KeyLen)
	if s.IsMap() {
		tx.w.u32(unix.NFTA_SET_DATA_TYPE, s.DataType)
		tx.w.u32(unix.NFTA_SET_DATA_LEN, s.DataLen)
	}
	tx.w.u32(unix.NFTA_SET_ID, tx.setID)
	if s.Size != 0 {
		start := tx.w.begin(unix.NFTA_SET_DESC)
		tx.w.u32(unix.NFTA_SET_DESC_SIZE, s.Size)
		tx.w.end(start)
	}
	if s.Timeout != 0 {
		tx.w.u64(unix.NFTA_SET_TIMEOUT, uint64(s.Timeout.Milliseconds()))
	}
	tx.w.bytes(unix.NFTA_SET_USERDATA, []byte(s.Userdata))
	tx.end()
}

// AddElement adds an element with its data; a set's elements have none.
func (tx *Transaction) AddElement(t Table, s *Set, key, data []byte) {
	elem := tx.element(unix.NFT_MSG_NEWSETELEM, t, s, key)
	if len(data) > 0 {
		start := tx.w.begin(unix.NFTA_SET_ELEM_DATA)
		tx.w.bytes(unix.NFTA_DATA_VALUE, data)
		tx.w.end(start)
	}
	tx.closeElement(elem)
}

// AddVerdict adds an element to a verdict map.
func (tx *Transaction) AddVerdict(t Table, s *Set, key []byte, v Verdict) {
	elem := tx.element(unix.NFT_MSG_NEWSETELEM, t, s, key)
	start := tx.w.begin(unix.NFTA_SET_ELEM_DATA)
	verdict := tx.w.begin(unix.NFTA_DATA_VERDICT)
	tx.w.u32(unix.NFTA_VERDICT_CODE, uint32(v.Code))
	if v.Chain != "" {
		tx.w.text(unix.NFTA_VERDICT_CHAIN, v.Chain)
	}
	tx.w.end(verdict)
	tx.w.end(start)
	tx.closeElement(elem)
}

// DeleteElement deletes the element of that key.
func (tx *Transaction) DeleteElement(t Table, s *Set, key []byte) {
	tx.closeElement(tx.element(unix.NFT_MSG_DELSETELEM, t, s, key))
}

// element starts an element in the open list of elements if that is of the same kind and has room, else in a new one.
func (tx *Transaction) element(typ uint16, t Table, s *Set, key []byte) (start int) {
	owner := listOwner{typ, t.Family, t.Name, s.Name}
	if tx.list != 0 && (tx.owner != owner || len(tx.w.buf)-tx.list > maxElementList) {
		tx.closeList()
	}
	if tx.list == 0 {
		flags := uint16(0)
		if typ == unix.NFT_MSG_NEWSETELEM {
			flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
		}
		tx.begin(typ, t.Family, flags)
		tx.count--
		tx.w.text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
		tx.w.text(unix.NFTA_SET_ELEM_LIST_SET, s.Name)
		tx.owner, tx.list = owner, tx.w.begin(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	}
	start = tx.w.begin(unix.NFTA_LIST_ELEM)
	nest := tx.w.begin(unix.NFTA_SET_ELEM_KEY)
	tx.w.bytes(unix.NFTA_DATA_VALUE, key)
	tx.w.end(nest)
	return start
}

func (tx *Transaction) closeElement(start int) {
	tx.w.end(start)
	tx.count++
}

func (tx *Transaction) closeList() {
	if tx.list != 0 {
		tx.w.end(tx.list)
		tx.list = 0
		tx.end()
	}
}

// begin starts a message. The first message of a transaction comes after the batch's own first one.
func (tx *Transaction) begin(typ uint16, f Family, flags uint16) {
	tx.closeList()
	tx.count++
	if len(tx.w.buf) == 0 {
		tx.header(unix.NFNL_MSG_BATCH_BEGIN, unix.AF_UNSPEC, 0, unix.NFNL_SUBSYS_NFTABLES)
		tx.end()
	}
	tx.header(unix.NFNL_SUBSYS_NFTABLES<<8|typ, f, flags, 0)
}

func (tx *Transaction) header(typ uint16, f Family, flags, resource uint16) {
	tx.message = len(tx.w.buf)
	b := binary.NativeEndian.AppendUint32(tx.w.buf, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, tx.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, byte(f), unix.NFNETLINK_V0)
	tx.w.buf = binary.BigEndian.AppendUint16(b, resource)
	tx.seq++
}

func (tx *Transaction) end() {
	binary.NativeEndian.PutUint32(tx.w.buf[tx.message:], uint32(len(tx.w.buf)-tx.message))
}

// batch closes the transaction and returns the messages to send. The last change asks to be acknowledged.
func (tx *Transaction) batch() []byte {
	if len(tx.w.buf) == 0 {
		return nil
	}
	tx.closeList()
	last := tx.w.buf[tx.message+6:]
	if binary.NativeEndian.Uint16(tx.w.buf[tx.message+4:]) == unix.NFNL_MSG_BATCH_END {
		return tx.w.buf
	}
	binary.NativeEndian.PutUint16(last, binary.NativeEndian.Uint16(last)|unix.NLM_F_ACK)
	tx.header(unix.NFNL_MSG_BATCH_END, unix.AF_UNSPEC, 0, unix.NFNL_SUBSYS_NFTABLES)
	tx.end()
	return tx.w.buf
}

func (w *writer) exprs(exprs []Expr) {
	for _, e := range exprs {
		elem := w.begin(unix.NFTA_LIST_ELEM)
		w.text(unix.NFTA_EXPR_NAME, e.Name)
		data := w.begin(unix.NFTA_EXPR_DATA)
		for _, a := range e.Attrs {
			w.bytes(a.Type, a.Data)
		}
		w.end(data)
		w.end(elem)
	}
}

// digest returns what Rule.Digest will be once the rule has been added.
func (r Rule) digest() uint64 {
	var w writer
	start := w.begin(unix.NFTA_RULE_EXPRESSIONS)
	w.exprs(r.Exprs)
	return digest(w.buf[start:], r.Comment)
}

// WithDigest returns the rule with the Digest that it has once it has been added.
func (r Rule) WithDigest() Rule {
	r.Digest = r.digest()
	return r
}

// digest hashes the encoded expressions, after their header whose length is not filled in yet, and the comment.
func digest(exprs []byte, comment string) uint64 {
	h := fnv.New64a()
	h.Write(exprs[attrHeader:])
	h.Write([]byte(comment))
	return h.Sum64()
}

func ruleUserdata(comment string, sum uint64) []byte {
	var buf []byte
	if comment != "" {
		buf = udataText(buf, ruleComment, comment)
	}
	return udata(buf, ruleDigest, binary.NativeEndian.AppendUint64(nil, sum))
}
