package route

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// paths finds the location of a path the way nginx does without patterns: an exact one, else the longest prefix.
//
// Its entries are in the order of their paths. The longest one that is a prefix of a path is the last one that is not after it, or
// one of that one's own prefixes, which are linked: a lookup is a binary search and a few steps up.
type paths []pathEntry

type pathEntry struct {
	path string
	// exact is for the path itself, prefix (whose path ends with a slash) for it and all below, slash for a redirect to path/.
	exact, prefix, slash *Location
	parent               int32 // the longest entry with a prefix that is one of this path; -1: none
}

// newPaths arranges locations, of which none is a pattern, the first of equal ones counting.
func newPaths(locations []*Location) paths {
	all := make(paths, 0, 2*len(locations))
	for _, l := range locations {
		switch l.Match {
		case MatchExact:
			all = append(all, pathEntry{path: l.Path, exact: l})
		case MatchSlash:
			all = append(all, pathEntry{path: l.Path, slash: l})
		case MatchPrefix:
			all = append(all, pathEntry{path: withSlash(l.Path), prefix: l})
		}
	}
	// The element-wise prefix "/foo" is also the exact path, unless another location is.
	for _, l := range locations {
		if l.Match == MatchPrefix && l.Path[len(l.Path)-1] != '/' {
			all = append(all, pathEntry{path: l.Path, exact: l})
		}
	}
	slices.SortStableFunc(all, func(a, b pathEntry) int { return strings.Compare(a.path, b.path) })
	out := all[:0]
	for _, e := range all {
		if len(out) == 0 || out[len(out)-1].path != e.path {
			out = append(out, e)
			continue
		}
		last := &out[len(out)-1]
		last.exact, last.prefix, last.slash = cmp.Or(last.exact, e.exact), cmp.Or(last.prefix, e.prefix), cmp.Or(last.slash, e.slash)
	}
	for i := range out {
		out[i].parent = out.above(int32(i)-1, out[i].path)
	}
	return slices.Clip(out)
}

func withSlash(path string) string {
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// above returns the longest entry with a prefix of path, of entry i and its own prefixes; -1: none.
func (p paths) above(i int32, path string) int32 {
	for i >= 0 && (p[i].prefix == nil || !strings.HasPrefix(path, p[i].path)) {
		i = p[i].parent
	}
	return i
}

// find returns the location of a clean path, nil for none.
func (p paths) find(path string) *Location {
	low, high := 0, len(p)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if p[middle].path <= path {
			low = middle + 1
		} else {
			high = middle
		}
	}
	last := low - 1
	if last < 0 {
		return nil
	}
	if e := &p[last]; e.path == path {
		switch {
		case e.exact != nil:
			return e.exact
		case e.prefix != nil:
			return e.prefix
		case e.slash != nil:
			return e.slash
		}
	}
	if i := p.above(int32(last), path); i >= 0 {
		return p[i].prefix
	}
	return nil
}

// patterns finds the first of a host's patterns that matches. Only those whose literal beginning is one of the path's are tried:
// they are found as in paths, in lower case.
type patterns struct {
	nodes []patternNode
	all   []*Location
}

type patternNode struct {
	literal string // in lower case
	of      []patternRef
	parent  int32 // the longest node whose literal is a proper prefix; -1: none
}

// patternRef is a pattern by its place in the host's order.
type patternRef struct {
	place int32
	tail  tail
}

// tail is what a pattern asks for after its literal beginning.
type tail uint8

const (
	tailPattern tail = iota // what only the pattern itself can tell
	tailAny                 // nothing, as in "/foo" and "/foo(.*)"
	tailSlash               // a slash or the end, as in "/foo(/|$)(.*)"
)

// newPatterns arranges the locations of a host in regex mode, which are in order.
func newPatterns(locations []*Location) *patterns {
	p := &patterns{all: locations}
	at := map[string][]patternRef{}
	for i, l := range locations {
		literal, tail := splitPattern(l.Pattern)
		at[literal] = append(at[literal], patternRef{int32(i), tail})
	}
	for literal, of := range at {
		p.nodes = append(p.nodes, patternNode{literal: literal, of: of})
	}
	slices.SortFunc(p.nodes, func(a, b patternNode) int { return strings.Compare(a.literal, b.literal) })
	for i := range p.nodes {
		p.nodes[i].parent = p.above(int32(i)-1, p.nodes[i].literal)
	}
	return p
}

func (p *patterns) above(i int32, path string) int32 {
	for i >= 0 && !hasFoldedPrefix(path, p.nodes[i].literal) {
		i = p.nodes[i].parent
	}
	return i
}

// find returns the first location whose pattern matches a clean path, nil for none.
func (p *patterns) find(path string) *Location {
	low, high := 0, len(p.nodes)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if compareFolded(p.nodes[middle].literal, path) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	best := int32(len(p.all))
	for i := p.above(int32(low)-1, path); i >= 0; i = p.nodes[i].parent {
		for _, ref := range p.nodes[i].of {
			if ref.place >= best {
				break
			}
			if p.matches(ref, path, len(p.nodes[i].literal)) {
				best = ref.place
				break
			}
		}
	}
	if int(best) == len(p.all) {
		return nil
	}
	return p.all[best]
}

// matches reports whether a pattern matches a path that begins with its literal.
func (p *patterns) matches(ref patternRef, path string, literal int) bool {
	switch ref.tail {
	case tailAny:
		return true
	case tailSlash:
		return len(path) == literal || path[literal] == '/'
	}
	return p.all[ref.place].Pattern.MatchString(path)
}

// splitPattern returns, in lower case, what every match of an anchored, case-insensitive pattern begins with, and what else it asks
// for. The literal stops before what is not ASCII.
func splitPattern(pattern *regexp.Regexp) (literal string, rest tail) {
	tree, err := syntax.Parse(pattern.String(), syntax.Perl)
	if err != nil { // it was compiled from this text
		return "", tailPattern
	}
	tree = tree.Simplify()
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	if parts[0].Op != syntax.OpBeginText {
		return "", tailPattern
	}
	for parts = parts[1:]; len(parts) > 0 && parts[0].Op == syntax.OpLiteral; parts = parts[1:] {
		for _, r := range parts[0].Rune {
			// "s" and "k" also match two letters outside of ASCII, which nginx, comparing bytes, does not take for them.
			if r >= 0x80 {
				return literal, tailPattern
			}
			literal += string(lower(byte(r)))
		}
	}
	for len(parts) > 0 && optional(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1] // the end of a match is free
	}
	switch {
	case len(parts) == 0:
		return literal, tailAny
	case len(parts) == 1 && slashOrEnd(parts[0]):
		return literal, tailSlash
	}
	return literal, tailPattern
}

// optional reports whether a part of a pattern matches nothing at all, anywhere.
func optional(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpStar, syntax.OpQuest:
		return true
	case syntax.OpCapture:
		return optional(re.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !optional(sub) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, optional)
	}
	return false
}

// slashOrEnd reports whether a part of a pattern is "(/|$)", in either order and with or without capture.
func slashOrEnd(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpAlternate || len(re.Sub) != 2 {
		return false
	}
	slash := func(re *syntax.Regexp) bool { return re.Op == syntax.OpLiteral && string(re.Rune) == "/" }
	end := func(re *syntax.Regexp) bool { return re.Op == syntax.OpEndText }
	a, b := re.Sub[0], re.Sub[1]
	return slash(a) && end(b) || end(a) && slash(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// hasFoldedPrefix reports whether path, in lower case, begins with literal.
func hasFoldedPrefix(path, literal string) bool {
	return len(path) >= len(literal) && compareFolded(literal, path[:len(literal)]) == 0
}

// compareFolded compares literal with path in lower case.
func compareFolded(literal, path string) int {
	n := min(len(literal), len(path))
	for i := range n {
		a, b := literal[i], lower(path[i])
		if a != b {
			return int(a) - int(b)
		}
	}
	return len(literal) - len(path)
}
