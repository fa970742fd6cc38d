package message

// Get returns the value of the first field of that name, without regard to case; nil: there is none.
func (h Header) Get(name string) []byte {
	for i := range h {
		if Equal(h[i].Name, name) {
			return h[i].Value
		}
	}
	return nil
}

// Has says whether there is a field of that name, without regard to case.
func (h Header) Has(name string) bool {
	for i := range h {
		if Equal(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Add appends a field. The header keeps both slices.
func (h *Header) Add(name, value []byte) { *h = append(*h, Field{name, value}) }

// AddString appends a field.
func (h *Header) AddString(name, value string) { *h = append(*h, Field{[]byte(name), []byte(value)}) }

// Set replaces the first field of that name, removing others, or appends it.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if f := &(*h)[i]; Equal(f.Name, name) {
			f.Value = []byte(value)
			rest := (*h)[i+1:]
			rest.Del(name)
			*h = (*h)[:i+1+len(rest)]
			return
		}
	}
	h.AddString(name, value)
}

// Del removes all fields of that name, without regard to case.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !Equal(f.Name, name) {
			kept = append(kept, f)
		}
	}
	*h = kept
}

// Equal compares a field's name with one of the program, without regard to the case of ASCII letters.
func Equal(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i := range name {
		if a, b := name[i], want[i]; a != b && lower(a) != lower(b) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// HasToken says whether a comma-separated list, such as the value of Connection, has the token, without regard to case.
func HasToken(list []byte, token string) bool {
	for t := range Tokens(list) {
		if Equal(t, token) {
			return true
		}
	}
	return false
}

// Tokens yields the elements of a comma-separated list, without white space around them; empty ones are left out.
func Tokens(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for start := 0; start <= len(list); {
			end := start
			for end < len(list) && list[end] != ',' {
				end++
			}
			if t := trim(list[start:end]); len(t) > 0 && !yield(t) {
				return
			}
			start = end + 1
		}
	}
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
