package model

import "strings"

// Labels are the labels of an object, packed in one string: key, NUL, value, NUL, in the order of the keys.
// The API admits no NUL in either.
type Labels string

// Namespace is what Switchyard keeps of a Namespace.
type Namespace struct {
	Name string
	// Labels are kept where a consumer asked for them.
	Labels Labels
}

// All returns the labels as a map, nil for none.
func (l Labels) All() map[string]string {
	var out map[string]string
	for rest := string(l); rest != ""; {
		if out == nil {
			out = map[string]string{}
		}
		key, after, _ := strings.Cut(rest, "\x00")
		out[key], rest, _ = strings.Cut(after, "\x00")
	}
	return out
}
