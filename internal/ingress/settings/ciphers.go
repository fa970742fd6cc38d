package settings

import (
	"crypto/tls"
	"slices"
	"strings"
)

// parseCiphers returns the suites of TLS 1.2 of a list of OpenSSL, and what of it is not known.
func parseCiphers(list string) (suites []uint16, unknown []string) {
	names := openSSLNames()
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ':' || r == ' ' || r == ',' }) {
		switch id, ok := names[word]; {
		case ok && !slices.Contains(suites, id):
			suites = append(suites, id)
		case !ok && !strings.HasPrefix(word, "TLS_"): // those of TLS 1.3 are always on
			unknown = append(unknown, word)
		}
	}
	return suites, unknown
}

// openSSLNames returns crypto/tls's safe suites of TLS 1.2 by the names of OpenSSL.
func openSSLNames() map[string]uint16 {
	return map[string]uint16{
		"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
		"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	}
}
