package source

import "github.com/switchyard-net/switchyard/internal/model"

// interner gives equal strings and equal placements one memory. It forgets what was not asked for during two
// generations, so it does not grow with names of the past. Not safe for concurrent use; the nil interner shares nothing.
type interner struct {
	strings    generations[string, string]
	placements generations[placementKey, *model.Placement]
}

// placementKey is a placement with at most one hint of each kind.
type placementKey struct {
	node, zone, hostname   string
	zoneHint, nodeHint     string
	zoneHinted, nodeHinted bool
}

func newInterner() *interner { return &interner{} }

// of returns a string equal to s.
func (n *interner) of(s string) string {
	if n == nil || s == "" {
		return s
	}
	if kept, ok := n.strings.get(s); ok {
		return kept
	}
	n.strings.put(s, s)
	return s
}

// placement returns what was kept for key, or nil.
func (n *interner) placement(key placementKey) *model.Placement {
	if n == nil {
		return nil
	}
	p, _ := n.placements.get(key)
	return p
}

// keep makes placement return p for key.
func (n *interner) keep(key placementKey, p *model.Placement) {
	if n != nil {
		n.placements.put(key, p)
	}
}

// generations is a map that forgets what was not used while two generations filled up.
type generations[K comparable, V any] struct{ young, old map[K]V }

// generationSize is the number of entries after which a generation ends.
const generationSize = 16 << 10

func (g *generations[K, V]) get(k K) (V, bool) {
	v, ok := g.young[k]
	if !ok {
		if v, ok = g.old[k]; ok {
			g.put(k, v)
		}
	}
	return v, ok
}

func (g *generations[K, V]) put(k K, v V) {
	if g.young == nil || len(g.young) >= generationSize {
		g.old, g.young = g.young, map[K]V{}
	}
	g.young[k] = v
}
