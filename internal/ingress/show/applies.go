package show

import (
	"fmt"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

// applies returns what happens to requests of a location beside being sent to its backend, in the order in which it does.
func applies(l *route.Location) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	s := l.Settings
	if s == nil {
		return nil
	}
	if r := s.Redirect; r.To != "" {
		say("redirect to %s (%d)", r.To, r.Code)
	}
	if s.Rewrite.AppRoot != "" {
		say("/ is redirected to %s", s.Rewrite.AppRoot)
	}
	if s.Redirect.TLSAlways {
		say("http is redirected to https, always")
	}
	if n := len(s.Access.Deny); n > 0 {
		say("%s denied", counted(n, "network"))
	}
	if n := len(s.Access.Allow); n > 0 {
		say("only %s allowed", counted(n, "network"))
	}
	out = append(out, limits(s.Limits)...)
	if s.BasicAuth != nil {
		say("users of Secret %s", s.BasicAuth.Secret)
	}
	if s.Auth != nil {
		say("authentication by %s", s.Auth.URL)
	}
	if s.CORS != nil {
		say("CORS")
	}
	if s.Rewrite.Target != "" {
		say("the path becomes %s", s.Rewrite.Target)
	}
	if s.Mirror != nil {
		say("mirrored to %s", s.Mirror.Target)
	}
	out = append(out, upstream(&s.Upstream)...)
	if n := len(s.Errors.Codes); n > 0 && !s.Errors.Off {
		say("%s replaced", counted(n, "status code"))
	}
	if n := len(s.Snippet) + len(s.Headers); n > 0 {
		say("%s of headers or snippets", counted(n, "edit"))
	}
	return out
}

func limits(l settings.Limits) []string {
	var out []string
	if l.RPS > 0 {
		out = append(out, fmt.Sprintf("%d requests a second", l.RPS))
	}
	if l.RPM > 0 {
		out = append(out, fmt.Sprintf("%d requests a minute", l.RPM))
	}
	if l.Connections > 0 {
		out = append(out, fmt.Sprintf("%s at once", counted(l.Connections, "request")))
	}
	if l.Rate > 0 {
		out = append(out, fmt.Sprintf("%d bytes a second", l.Rate))
	}
	return out
}

func upstream(u *settings.Upstream) []string {
	var out []string
	if name := protocolName(u.Protocol); name != "HTTP" {
		out = append(out, "backend speaks "+name)
	}
	if u.Service {
		out = append(out, "by the cluster IP")
	}
	if u.VHost != "" {
		out = append(out, "Host "+u.VHost)
	}
	switch {
	case u.Affinity != nil:
		out = append(out, "cookie "+u.Affinity.Cookie)
	case u.HashBy != "":
		out = append(out, "hashed by "+u.HashBy)
	case u.Balance == settings.EWMA:
		out = append(out, "balanced by EWMA")
	case u.Balance == settings.RoundRobin:
		out = append(out, "balanced in turn")
	}
	return out
}

func protocolName(p settings.Protocol) string {
	switch p {
	case settings.HTTPS:
		return "HTTPS"
	case settings.AutoHTTP:
		return "AUTO_HTTP"
	case settings.GRPC:
		return "GRPC"
	case settings.GRPCS:
		return "GRPCS"
	case settings.FCGI:
		return "FCGI"
	}
	return "HTTP"
}

func canaryRule(c *route.Canary) string {
	if c.Settings == nil || c.Settings.Canary == nil {
		return "never"
	}
	rule := c.Settings.Canary
	var parts []string
	switch {
	case rule.Header != "" && rule.Pattern != nil:
		parts = append(parts, fmt.Sprintf("header %s matching %s", rule.Header, rule.Pattern))
	case rule.Header != "" && rule.HeaderValue != "":
		parts = append(parts, fmt.Sprintf("header %s: %s", rule.Header, rule.HeaderValue))
	case rule.Header != "":
		parts = append(parts, fmt.Sprintf("header %s: always", rule.Header))
	}
	if rule.Cookie != "" {
		parts = append(parts, fmt.Sprintf("cookie %s=always", rule.Cookie))
	}
	if rule.Weight > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d", rule.Weight, max(rule.Total, 100)))
	}
	if len(parts) == 0 {
		return "never"
	}
	return strings.Join(parts, " or ")
}

func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
