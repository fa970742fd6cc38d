package message

// GoodTarget says whether a path with its query may be the target of a request, in origin form or, of OPTIONS, "*" (RFC 9112 3.2, RFC
// 9113 8.3.1). Bytes beyond ASCII are let through, as nginx does.
func GoodTarget(target, method string) bool {
	if target == "" || target[0] != '/' && (target != "*" || method != "OPTIONS") {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}
