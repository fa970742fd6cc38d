package nginx

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNoSpans: who asks for spans is told, once, that nginx makes none.
func TestNoSpans(t *testing.T) {
	const message = "enable-opentelemetry: " + noSpans + " (with --engine=native it would work)"
	for name, c := range map[string]struct {
		entry bool
		want  []string
	}{
		"of an Ingress":    {false, []string{"Ingress shop/web nginx.ingress.kubernetes.io/" + message}},
		"of the ConfigMap": {true, []string{"ConfigMap / " + message}},
	} {
		t.Run(name, func(t *testing.T) {
			table := everywhere("x")
			table.Default.Locations[0].Settings.Trace.On, table.Global.Defaults.Trace.On = true, c.entry
			_, before := Render(Input{Table: everywhere("x")})
			_, problems := Render(Input{Table: table})
			var got []string
			for _, p := range problems[:len(problems)-len(before)] {
				got = append(got, p.Kind+" "+p.Ref.String()+" "+p.Message)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
