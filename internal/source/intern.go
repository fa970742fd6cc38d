package source

// interner gives equal strings one memory. It forgets what was not asked for during two generations, so it does not
// grow with names of the past. Not safe for concurrent use; the nil interner returns what it is given.
type interner struct {
	young, old map[string]string
	hints      map[string][]string
}

// internGeneration is the number of strings after which a generation ends.
const internGeneration = 16 << 10

func newInterner() *interner {
	return &interner{young: map[string]string{}, hints: map[string][]string{}}
}

// of returns a string equal to s.
func (n *interner) of(s string) string {
	if n == nil || s == "" {
		return s
	}
	if kept, ok := n.young[s]; ok {
		return kept
	}
	if kept, ok := n.old[s]; ok {
		s = kept
	}
	if len(n.young) >= internGeneration {
		n.old, n.young = n.young, map[string]string{}
		n.hints = map[string][]string{}
	}
	n.young[s] = s
	return s
}

// list returns a list that holds only s. Nearly every endpoint hint is such a list, of one of a few zones.
func (n *interner) list(s string) []string {
	if n == nil {
		return []string{s}
	}
	if kept, ok := n.hints[s]; ok {
		return kept
	}
	s = n.of(s)
	kept := []string{s}
	n.hints[s] = kept
	return kept
}
