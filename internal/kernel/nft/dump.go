package nft

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Dump returns the ruleset as text, close to what `nft list ruleset` prints, sorted by name.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []tableKey
	for key := range f.tables {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b tableKey) int {
		if a.family != b.family {
			return int(a.family) - int(b.family)
		}
		return strings.Compare(a.name, b.name)
	})
	var out strings.Builder
	for _, key := range keys {
		f.tables[key].dump(&out, key)
	}
	return out.String()
}

func (t *fakeTable) dump(out *strings.Builder, key tableKey) {
	fmt.Fprintf(out, "table %s %s {\n", key.family, key.name)
	if t.comment != "" {
		fmt.Fprintf(out, "\tcomment %q\n", t.comment)
	}
	for _, name := range sortedKeys(t.sets) {
		t.sets[name].dump(out)
	}
	for _, name := range sortedKeys(t.chains) {
		t.chains[name].dump(out, key.family)
	}
	out.WriteString("}\n")
}

func (s *fakeSet) dump(out *strings.Builder) {
	kind := "set"
	if s.IsMap() {
		kind = "map"
	}
	fmt.Fprintf(out, "\t%s %s {\n", kind, s.Name)
	if comment := udataString([]byte(s.Userdata), setComment); comment != "" {
		fmt.Fprintf(out, "\t\tcomment %q\n", comment)
	}
	for _, key := range sortedKeys(s.elements) {
		e := s.elements[key]
		text := FormatKey(s.KeyType, []byte(key))
		switch {
		case s.IsVerdictMap():
			text += " : " + e.verdict.String()
		case s.IsMap():
			text += " : " + FormatKey(s.DataType, []byte(e.data))
		}
		fmt.Fprintf(out, "\t\t%s\n", text)
	}
	out.WriteString("\t}\n")
}

func (c *fakeChain) dump(out *strings.Builder, f Family) {
	fmt.Fprintf(out, "\tchain %s {\n", c.Name)
	if c.Comment != "" {
		fmt.Fprintf(out, "\t\tcomment %q\n", c.Comment)
	}
	if c.Hook != nil {
		fmt.Fprintf(out, "\t\ttype %s hook %s priority %d; policy accept;\n", c.Hook.Type, hookName(c.Hook.Number), c.Hook.Priority)
	}
	for _, r := range c.rules {
		text := r.Text(f)
		if r.Comment != "" {
			text += fmt.Sprintf(" comment %q", r.Comment)
		}
		fmt.Fprintf(out, "\t\t%s\n", text)
	}
	out.WriteString("\t}\n")
}

func hookName(number uint32) string {
	switch number {
	case unix.NF_INET_PRE_ROUTING:
		return "prerouting"
	case unix.NF_INET_LOCAL_IN:
		return "input"
	case unix.NF_INET_FORWARD:
		return "forward"
	case unix.NF_INET_LOCAL_OUT:
		return "output"
	case unix.NF_INET_POST_ROUTING:
		return "postrouting"
	}
	return fmt.Sprintf("hook %d", number)
}
