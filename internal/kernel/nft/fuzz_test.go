package nft

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessages reads arbitrary bytes as the kernel's answers and as a transaction: errors are fine, panics and loops are
// not.
func FuzzMessages(f *testing.F) {
	var tx Transaction
	write(&tx, IPv4)
	setUp(&tx)
	f.Add(tx.batch())
	f.Add([]byte{0x14, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		fake := fakeBatch{tables: map[tableKey]*fakeTable{}}
		_ = messages(data, func(m message) error {
			_, _ = decodeTable(m.family, m.body)
			_, _, _ = decodeChain(m.body)
			_, _, _ = decodeSet(m.body)
			if r, err := decodeRule(m.body); err == nil {
				_ = r.Text(m.family)
			}
			_ = decodeElements(m.body, func(e Element, start, end int) error {
				if start < 0 || end > len(m.body) || start >= end {
					t.Errorf("element at %d..%d of %d bytes", start, end, len(m.body))
				}
				return nil
			})
			_ = newError(data, m, unix.EINVAL)
			if m.typ>>8 == unix.NFNL_SUBSYS_NFTABLES {
				_ = fake.apply(m)
			}
			return nil
		})
	})
}

// FuzzElements writes arbitrary elements and reads them back.
func FuzzElements(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{5, 6, 7, 8}, uint16(3), true)
	f.Fuzz(func(t *testing.T, key, data []byte, count uint16, deleted bool) {
		if len(key) == 0 || len(key) > 64 || len(data) > 64 {
			return
		}
		var tx Transaction
		for range count {
			if deleted {
				tx.DeleteElement(table, &nexts, key)
			} else {
				tx.AddElement(table, &nexts, key, data)
			}
		}
		seen := 0
		err := messages(tx.batch(), func(m message) error {
			if m.typ>>8 != unix.NFNL_SUBSYS_NFTABLES {
				return nil
			}
			return decodeElements(m.body, func(e Element, _, _ int) error {
				seen++
				if !bytes.Equal(e.Key, key) || !deleted && !bytes.Equal(e.Data, data) && len(data) > 0 {
					t.Errorf("read %x : %x; wrote %x : %x", e.Key, e.Data, key, data)
				}
				return nil
			})
		})
		if err != nil || seen != int(count) || tx.Len() != int(count) {
			t.Errorf("read %d elements, Len %d, %v; wrote %d", seen, tx.Len(), err, count)
		}
	})
}
