package check

import (
	"fmt"
	"io"
	"strings"
)

// Text writes the report for people. Objects about which nothing is to be said take a line each.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	for _, u := range r.Unread {
		fmt.Fprintf(&b, "UNREAD   %s\n", u)
	}
	counts := [Breaks + 1]int{}
	for _, o := range r.Objects {
		if o.Kind == "Ingress" {
			counts[o.Level]++
		}
		o.text(&b)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "skipped  Ingress %s: not of a class that is checked (--ingress-class)\n", s)
	}
	total := counts[Same] + counts[Note] + counts[Differs] + counts[Breaks]
	fmt.Fprintf(&b, "\n%d Ingresses: %d behave the same, %d differ, %d break.\n", total, counts[Same]+counts[Note], counts[Differs], counts[Breaks])
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (o *Object) text(b *strings.Builder) {
	head := map[Level]string{Same: "same    ", Note: "same    ", Differs: "DIFFERS ", Breaks: "BREAKS  "}[o.Level]
	fmt.Fprintf(b, "%s %s %s/%s", head, o.Kind, o.Namespace, o.Name)
	if o.Place != "" {
		fmt.Fprintf(b, " (%s)", o.Place)
	}
	b.WriteString("\n")
	if len(o.Same) > 0 && len(o.Findings) > 0 {
		fmt.Fprintf(b, "           works:   %s\n", strings.Join(o.Same, ", "))
	}
	for _, f := range o.Findings {
		fmt.Fprintf(b, "         %9s %s\n", f.Level.String()+":", f.Message)
	}
}
