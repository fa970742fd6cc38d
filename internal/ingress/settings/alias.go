package settings

import (
	"fmt"
	"regexp"
	"strings"
)

// ParseAlias reads a further name of a host as nginx's server_name does: a name; "*.example.com" or "www.example.*", whose star
// stands for any number of labels; ".example.com", which is the name and all below it; or a pattern after "~".
func ParseAlias(word string) (Alias, error) {
	if pattern, ok := strings.CutPrefix(word, "~"); ok {
		re, err := regexp.Compile("(?i)" + strings.TrimPrefix(pattern, "*"))
		if err != nil {
			return Alias{}, fmt.Errorf("pattern %q: %w", shorten(word), err)
		}
		return Alias{Name: word, Pattern: re}, nil
	}
	name := strings.TrimSuffix(strings.ToLower(word), ".")
	if rest, ok := strings.CutSuffix(name, ".*"); ok {
		if !isHostName(rest) {
			return Alias{}, fmt.Errorf("%q is no name of a host", shorten(word))
		}
		re, err := regexp.Compile("^" + regexp.QuoteMeta(rest) + `\..+$`)
		if err != nil {
			return Alias{}, fmt.Errorf("name %q: %w", shorten(word), err)
		}
		return Alias{Name: name, Pattern: re}, nil
	}
	if !isHostName(strings.TrimPrefix(strings.TrimPrefix(name, "*"), ".")) || strings.HasPrefix(name, "*") != strings.HasPrefix(name, "*.") {
		return Alias{}, fmt.Errorf("%q is no name of a host", shorten(word))
	}
	return Alias{Name: name}, nil
}

// isHostName admits what a Host header can name: labels of letters, digits, "-" and "_".
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
