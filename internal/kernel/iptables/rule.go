package iptables

import "strings"

// Target returns where a rule, as iptables-save prints it, jumps or goes to; empty: nowhere.
func Target(rule string) string {
	previous := ""
	for rule != "" {
		var word string
		word, rule = cutWord(rule)
		if previous == "-j" || previous == "-g" {
			return word
		}
		previous = word
	}
	return ""
}

// cutWord returns the first word of a rule, with the double quotes that it may be in, and what follows. In quotes, a
// backslash takes the meaning from the next character.
func cutWord(rule string) (word, rest string) {
	rule = strings.TrimLeft(rule, " ")
	quoted := false
	for i := 0; i < len(rule); i++ {
		switch c := rule[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			return rule[:i], rule[i+1:]
		}
	}
	return rule, ""
}
