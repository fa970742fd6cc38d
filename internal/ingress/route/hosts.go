package route

import "iter"

// Hosts returns the hosts of the table but Default, each once, in no particular order.
func (t *Table) Hosts() iter.Seq[*Host] {
	return func(yield func(*Host) bool) {
		for _, ix := range []*index{&t.hosts, &t.wild} {
			for name, h := range ix.all() {
				if isAlias := h.Name != name && h.Name != "*."+name; !isAlias && !yield(h) {
					return
				}
			}
		}
	}
}
