package source

import (
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// with returns a copy of held, which is ordered by name, that has s instead of the slice of its name, or besides.
func with(held []*model.EndpointSlice, s *model.EndpointSlice) []*model.EndpointSlice {
	i, found := find(held, s.Ref.Name)
	if found {
		out := slices.Clone(held)
		out[i] = s
		return out
	}
	out := make([]*model.EndpointSlice, 0, len(held)+1)
	return append(append(append(out, held[:i]...), s), held[i:]...)
}

// without returns a copy of held, which is ordered by name, that lacks the slice of that name.
func without(held []*model.EndpointSlice, name string) []*model.EndpointSlice {
	i, found := find(held, name)
	if !found {
		return held
	}
	return slices.Concat(held[:i], held[i+1:])
}

func find(held []*model.EndpointSlice, name string) (int, bool) {
	return slices.BinarySearchFunc(held, name, func(s *model.EndpointSlice, name string) int {
		return strings.Compare(s.Ref.Name, name)
	})
}
