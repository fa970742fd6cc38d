package nginx

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// encodePair returns a certificate with its chain, and its key, in PEM.
func encodePair(pair *tls.Certificate) (certificate, key string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return "", "", fmt.Errorf("encode its key: %w", err)
	}
	var b strings.Builder
	for _, c := range pair.Certificate {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c}))
	}
	return b.String(), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// protocols returns the arguments of ssl_protocols for versions of crypto/tls; 0 stands for TLS 1.2 and 1.3.
func protocols(low, high uint16) []arg {
	if low == 0 {
		low = tls.VersionTLS12
	}
	if high == 0 {
		high = tls.VersionTLS13
	}
	var list []arg
	for version, name := range []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"} {
		if v := uint16(tls.VersionTLS10 + version); v >= low && v <= high {
			list = append(list, key(name))
		}
	}
	return list
}

// opensslCiphers are OpenSSL's names of the suites before TLS 1.3 that crypto/tls knows. Those of 1.3 are always on in nginx.
var opensslCiphers = map[uint16]string{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384",
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:            "ECDHE-RSA-AES128-SHA",
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA:            "ECDHE-RSA-AES256-SHA",
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          "ECDHE-ECDSA-AES128-SHA",
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          "ECDHE-ECDSA-AES256-SHA",
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               "AES128-GCM-SHA256",
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384:               "AES256-GCM-SHA384",
	tls.TLS_RSA_WITH_AES_128_CBC_SHA:                  "AES128-SHA",
	tls.TLS_RSA_WITH_AES_256_CBC_SHA:                  "AES256-SHA",
}

// ciphers returns suites as OpenSSL names them; "" for its default.
func ciphers(suites []uint16) string {
	var names []string
	for _, s := range suites {
		if name, ok := opensslCiphers[s]; ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ":")
}

// backendTLS renders what is shown to backends of protocol HTTPS, and whom they have to be.
func (r *renderer) backendTLS(l *route.Location) []directive {
	s := &l.Settings.BackendTLS
	list := []directive{d("proxy_ssl_session_reuse", key("on")), d("proxy_ssl_server_name", onOff(s.ServerName))}
	if s.Name != "" {
		list = append(list, d("proxy_ssl_name", literal(s.Name)))
	}
	if s.MinVersion != 0 || s.MaxVersion != 0 {
		list = append(list, d("proxy_ssl_protocols", protocols(s.MinVersion, s.MaxVersion)...))
	}
	if names := ciphers(s.Ciphers); names != "" {
		list = append(list, d("proxy_ssl_ciphers", plain(names)))
	}
	identity := l.BackendCA
	if identity == nil {
		return list
	}
	name := "backend-" + s.Secret.Namespace + "_" + s.Secret.Name
	if len(identity.Certificate) > 0 && len(identity.Key) > 0 {
		r.file(name+".crt", string(identity.Certificate))
		r.file(name+".key", string(identity.Key))
		list = append(list, d("proxy_ssl_certificate", plain(r.path(name+".crt"))), d("proxy_ssl_certificate_key", plain(r.path(name+".key"))))
	}
	if s.Verify && len(identity.CA) > 0 {
		r.file(name+".ca", string(identity.CA))
		list = append(list, d("proxy_ssl_trusted_certificate", plain(r.path(name+".ca"))), d("proxy_ssl_verify", key("on")), d("proxy_ssl_verify_depth", number(max(1, s.Depth))))
	}
	return list
}
