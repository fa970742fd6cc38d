package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The character classes that ingress-nginx admits in values
// (https://github.com/kubernetes/ingress-nginx/blob/main/internal/ingress/annotations/parser/validators.go).
const (
	basicChars = `\-\.\_\~a-zA-Z0-9\/:`
	urlChars   = `,:\?&=`
	regexChars = `\^\$\[\]\(\)\{\}\*\+\?\|&=\\`
)

// rules are compiled once for a Parser.
type rules struct {
	size, basic, basicSpace, extended, url, urlVariables, variable, capture, headers, regex *regexp.Regexp
	methods, corsOrigin, corsMethods, corsExpose, errorCodes, redirectPage, next            *regexp.Regexp
	cookieDomain, protocols, ciphers, serverCiphers, seconds, operation, index, onOff       *regexp.Regexp
	strictPath                                                                              *regexp.Regexp
}

func newRules() *rules {
	c := regexp.MustCompile
	return &rules{
		size:          c(`^(?i)\d+[bkmg]?$`),
		basic:         c(`^[` + basicChars + `]*$`),
		basicSpace:    c(`^[` + basicChars + ` ]*$`),
		extended:      c(`^[` + basicChars + `, ]*$`),
		url:           c(`^[` + basicChars + urlChars + `]*$`),
		urlVariables:  c(`^[` + basicChars + `, ` + urlChars + `$]*$`),
		variable:      c(`^[A-Za-z0-9\-\_\$\{\}]*$`),
		capture:       c(`^/?[` + basicChars + `\$]*$`),
		headers:       c(`^[A-Za-z0-9\-_, ]*$`),
		regex:         c(`^[` + basicChars + regexChars + `]*$`),
		methods:       c(`^(GET|HEAD|POST|PUT|PATCH|DELETE|CONNECT|OPTIONS|TRACE)$`),
		corsOrigin:    c(`^((((([a-z]+://)?(\*\.)?[A-Za-z0-9\-.]*(:\d+)?,?)|null)+)|\*)?$`),
		corsMethods:   c(`^([A-Za-z]+,?\s?)+$`),
		corsExpose:    c(`^(([A-Za-z0-9\-\_]+|\*),?\s?)+$`),
		errorCodes:    c(`^(?:[45]\d{2},?)*$`),
		redirectPage:  c(`^(@[A-Za-z0-9_-]+|((https?://)?[A-Za-z0-9\-.]+(:\d+)?)?(/[A-Za-z0-9\-_.]+)*/?)$`),
		next:          c(`^((error|timeout|invalid_header|http_500|http_502|http_503|http_504|http_403|http_404|http_429|non_idempotent|off)\s?)+$`),
		cookieDomain:  c(`^(off|[` + basicChars + `]+\s+[` + basicChars + `]+)$`),
		protocols:     c(`^(TLSv1\.2|TLSv1\.3| )*$`),
		ciphers:       c(`^[A-Za-z0-9\+:\_\-!]*$`),
		serverCiphers: c(`^(?:(?:[A-Za-z0-9!:+\-_])*(?:@STRENGTH)*(?:@SECLEVEL=[0-5])*(?:@STRENGTH)*)*$`),
		seconds:       c(`^(0|-?[1-9]\d*)$`),
		operation:     c(`^[A-Za-z0-9_\-]*$`),
		index:         c(`^[A-Za-z0-9.\-\_]+$`),
		onOff:         c(`^(on|off)$`),
		strictPath:    c(`(?i)^/[[:alnum:]._\-/]*$`),
	}
}

// matches returns a validator by a pattern; spaces do not count where trim is set, line ends are never admitted.
func matches(re *regexp.Regexp, trim bool) func(string) error {
	return func(value string) error {
		if strings.ContainsAny(value, "\r\n") {
			return errors.New("it has a line end")
		}
		if trim {
			value = strings.ReplaceAll(value, " ", "")
		}
		if !re.MatchString(value) {
			return fmt.Errorf("it has to match %s", re)
		}
		return nil
	}
}

func isBool(value string) error {
	if _, err := strconv.ParseBool(value); err != nil {
		return errors.New(`it has to be "true" or "false"`)
	}
	return nil
}

func isInt(value string) error {
	if _, err := strconv.Atoi(value); err != nil {
		return errors.New("it has to be a whole number, without unit")
	}
	return nil
}

// oneOf returns a validator for one of some words; lower-cased first where fold is set.
func oneOf(fold bool, words ...string) func(string) error {
	return func(value string) error {
		value = strings.TrimSpace(value)
		if fold {
			value = strings.ToLower(value)
		}
		if !slices.Contains(words, value) {
			return fmt.Errorf("it has to be one of %s", strings.Join(words, ", "))
		}
		return nil
	}
}

func isNetworks(value string) error {
	_, err := parseNetworks(value)
	return err
}

// parseNetworks reads addresses and networks, separated by commas.
func parseNetworks(value string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		if p, err := netip.ParsePrefix(word); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(word)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%q is neither an address nor a network like 192.0.2.0/24", word)
		}
		a = a.Unmap()
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// isNames admits names of servers, separated by commas, which may be patterns.
func (r *rules) isNames(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		if err := r.isName(name); err != nil {
			return err
		}
	}
	return nil
}

func (r *rules) isName(value string) error {
	value = strings.TrimSpace(value)
	if strings.ContainsAny(value, "\r\n") || !r.regex.MatchString(value) {
		return fmt.Errorf("%q has characters that no name or pattern has", value)
	}
	return nil
}

// isServiceName admits the name of a Service (RFC 1035 label).
func isServiceName(value string) error {
	if !isLabel(value) {
		return errors.New("it has to be the name of a Service in the same namespace")
	}
	return nil
}

func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z'
		inside := isDigit(c) || c == '-' && i < len(s)-1
		if !letter && (i == 0 || !inside) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isCommonName(value string) error {
	pattern, ok := strings.CutPrefix(value, "CN=")
	if !ok {
		return errors.New(`it has to begin with "CN="`)
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}

func anything(string) error { return nil }
