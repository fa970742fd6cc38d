package nginx

import (
	"fmt"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// canary returns the directives of a location with a variant: a chain of maps picks the upstream, header before cookie before
// weight.
func (r *renderer) canary(l *route.Location, pass, scheme string) []directive {
	main, list := r.named(l.Backend, l, &l.Settings.Upstream)
	variant, more := r.named(l.Canary.Backend, l, &l.Canary.Settings.Upstream)
	switch {
	case strings.HasPrefix(main, "$") || strings.HasPrefix(variant, "$"):
		r.problem(l.Canary.Ingress, "canary", "nginx cannot choose between ExternalName Services; all requests go to the main Ingress")
		fallthrough
	case variant == "":
		if main == "" {
			return list
		}
		return append(list, d(pass, destination(scheme, main)))
	case main == "":
		return more
	}
	id := fmt.Sprintf("canary_%d", l.Number)
	r.weight(id, l.Canary.Settings.Canary, main, variant)
	r.byCookie(id, l, main, variant)
	r.byHeader(id, l, main, variant)
	return []directive{d(pass, destination(scheme, "$"+id))}
}

// weight renders the share of the variant, in hundredths of a percent as split_clients counts.
func (r *renderer) weight(id string, c *settings.Canary, main, variant string) {
	share := 0
	if c.Total > 0 {
		share = min(10000, c.Weight*10000/c.Total)
	}
	var inner []directive
	if share > 0 && share < 10000 {
		inner = append(inner, d(fmt.Sprintf("%d.%02d%%", share/100, share%100), key(variant)))
	}
	rest := main
	if share == 10000 {
		rest = variant
	}
	r.http = append(r.http, block("split_clients", []arg{key("$request_id"), key("$" + id + "_weight")}, append(inner, d("*", key(rest)))...))
}

func (r *renderer) byCookie(id string, l *route.Location, main, variant string) {
	c := l.Canary.Settings.Canary
	source := `""`
	if isVariable(c.Cookie) {
		source = "$cookie_" + c.Cookie
	} else if c.Cookie != "" {
		r.problem(l.Canary.Ingress, "canary-by-cookie", fmt.Sprintf("nginx cannot read a cookie of the name %q; use letters, digits and _", c.Cookie))
	}
	r.http = append(r.http, block("map", []arg{key(source), key("$" + id + "_cookie")},
		d("always", key(variant)), d("never", key(main)), d("default", key("$"+id+"_weight"))))
}

// byHeader renders the decision by header. With a value or a pattern, others than that do not decide.
func (r *renderer) byHeader(id string, l *route.Location, main, variant string) {
	c := l.Canary.Settings.Canary
	name := headerVariable(c.Header)
	source, inner := `""`, []directive{}
	switch {
	case c.Header == "":
	case name == "":
		r.problem(l.Canary.Ingress, "canary-by-header", fmt.Sprintf("nginx cannot read a header of the name %q; use letters, digits, - and _", c.Header))
	case c.HeaderValue != "":
		source = name
		inner = append(inner, d(string(plain(`\`+c.HeaderValue)), key(variant)))
	case c.Pattern != nil:
		source = name
		inner = append(inner, d(string(plain("~"+c.Pattern.String())), key(variant)))
	default:
		source = name
		inner = append(inner, d("always", key(variant)), d("never", key(main)))
	}
	r.http = append(r.http, block("map", []arg{key(source), key("$" + id)}, append(inner, d("default", key("$"+id+"_cookie")))...))
}

// headerVariable returns nginx's variable of a request header; "" if it has none.
func headerVariable(header string) string {
	name := strings.ReplaceAll(strings.ToLower(header), "-", "_")
	if !isVariable(name) {
		return ""
	}
	return "$http_" + name
}
