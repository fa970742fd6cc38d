package policy

import (
	"crypto/sha1" // what nginx's $ssl_client_fingerprint is made of
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"

	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// clientCert is what the fields about a client's certificate are made of.
type clientCert struct {
	subject, issuer string
	serial          string
}

// certificates are those that were parsed last: clients use one for many requests.
type certificates struct {
	mu   sync.Mutex
	list lru[[sha256.Size]byte, *clientCert]
}

const certificatesKept = 1 << 12

func newCertificates() *certificates {
	c := &certificates{}
	c.list.limit = certificatesKept
	return c
}

func (c *certificates) parse(der []byte) *clientCert {
	key := sha256.Sum256(der)
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, known := c.list.get(key)
	if !known {
		*kept = newClientCert(der)
	}
	return *kept
}

func newClientCert(der []byte) *clientCert {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return &clientCert{}
	}
	return &clientCert{
		subject: distinguished(parsed.RawSubject), issuer: distinguished(parsed.RawIssuer),
		serial: strings.ToUpper(parsed.SerialNumber.Text(16)),
	}
}

// certificate returns the client's; nil: it has shown none.
func (x *Exchange) certificate() *clientCert {
	t := x.Request.TLS
	if t == nil || len(t.Certificate) == 0 {
		return nil
	}
	if x.own.cert == nil {
		x.own.cert = x.own.certs.parse(t.Certificate)
	}
	return x.own.cert
}

// appendOfTLS appends what is known of the client's certificate and of the handshake.
func appendOfTLS(dst []byte, kind variable.Kind, x *Exchange) ([]byte, bool) {
	switch kind {
	case variable.TLSVerify:
		return append(dst, x.verified()...), true
	case variable.TLSProtocol:
		if t := x.Request.TLS; t != nil {
			dst = append(dst, strings.Replace(tls.VersionName(t.Version), "TLS ", "TLSv", 1)...)
		}
		return dst, true
	case variable.TLSServerName:
		if t := x.Request.TLS; t != nil {
			dst = append(dst, t.ServerName...)
		}
		return dst, true
	case variable.TLSSubject, variable.TLSIssuer, variable.TLSSerial, variable.TLSFingerprint, variable.TLSCertificate:
	default:
		return dst, false
	}
	c := x.certificate()
	if c == nil {
		return dst, true
	}
	switch kind {
	case variable.TLSSubject:
		dst = append(dst, c.subject...)
	case variable.TLSIssuer:
		dst = append(dst, c.issuer...)
	case variable.TLSSerial:
		dst = append(dst, c.serial...)
	case variable.TLSFingerprint:
		sum := sha1.Sum(x.Request.TLS.Certificate)
		dst = hex.AppendEncode(dst, sum[:])
	case variable.TLSCertificate:
		dst = appendComponent(dst, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Request.TLS.Certificate}))
	}
	return dst, true
}

// verified is nginx's $ssl_client_verify.
func (x *Exchange) verified() string {
	t := x.Request.TLS
	switch {
	case t == nil || len(t.Certificate) == 0:
		return "NONE"
	case t.Verified != nil:
		return "FAILED:" + t.Verified.Error()
	default:
		return "SUCCESS"
	}
}

// attributes are the short names that OpenSSL writes.
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN", "1.2.840.113549.1.9.1": "emailAddress",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

// distinguished writes a name as nginx's $ssl_client_s_dn does (RFC 2253): the last attribute first.
func distinguished(raw []byte) string {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &names); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		for j, a := range names[i] {
			if j > 0 {
				b.WriteByte('+')
			}
			name := a.Type.String()
			if short, ok := attributes[name]; ok {
				name = short
			}
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(escapedAttribute(fmt.Sprint(a.Value)))
		}
	}
	return b.String()
}

// escapedAttribute escapes as RFC 2253, section 2.4 says.
func escapedAttribute(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, i == 0 && (c == ' ' || c == '#'), i == len(value)-1 && c == ' ':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
