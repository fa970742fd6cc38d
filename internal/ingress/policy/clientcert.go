package policy

import (
	"crypto/x509"
	"errors"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/ingress/variable"
)

// clientCertificate compiles what comes before all else on a host with auth-tls-secret: the certificate that nginx asks for in the
// handshake, and auth-tls-match-cn.
func (c *compiler) clientCertificate() {
	if c.host.ClientTLS == nil || c.host.ClientTLS.ClientTLS == nil {
		return
	}
	s := c.host.ClientTLS.ClientTLS
	var page *template
	if s.ErrorPage != "" {
		page = c.template("auth-tls-error-page", s.ErrorPage)
	}
	if s.Verify != settings.VerifyOff {
		c.step(func(x *Exchange) bool { return x.shows(s.Verify, page) })
	}
	if s.MatchCN != nil {
		c.step(func(x *Exchange) bool {
			cert := x.certificate()
			if cert != nil && s.MatchCN.MatchString(cert.subject) {
				return true
			}
			x.Answer.Body = []byte("client certificate unauthorized")
			x.Answer.Header.Add(contentTypeName, plainText)
			return x.answer(403, ReasonCertificate)
		})
	}
	c.edits = append(c.edits, func(x *Exchange) { x.certificateFields(x.edit) })
}

// shows checks the certificate of a connection with TLS. One whose handshake was for another host, which may ask for less, has to be
// made anew (RFC 9110, section 15.5.20).
func (x *Exchange) shows(verify settings.ClientVerify, page *template) bool {
	t := x.Request.TLS
	switch {
	case t == nil:
		return true
	case !strings.EqualFold(t.ServerName, x.Request.Host):
		return x.answer(421, ReasonCertificate)
	case len(t.Certificate) == 0 && verify == settings.VerifyOn:
	case len(t.Certificate) == 0 || t.Verified == nil:
		return true
	case verify == settings.VerifyOptionalNoCA && isUnknownAuthority(t.Verified):
		return true
	}
	if page == nil {
		return x.answer(400, ReasonCertificate)
	}
	mark := len(x.own.arena.buf)
	x.own.arena.buf = page.append(x.own.arena.buf, x)
	return x.location(mark, 302, ReasonCertificate)
}

// isUnknownAuthority tells whether a certificate lacks nothing but an authority that we know (nginx's ngx_ssl_verify_error_optional).
func isUnknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// certificateTexts are the fields with what is known of the client's certificate. All of them replace the client's own, also where
// they are empty.
var certificateTexts = []struct {
	name []byte
	text template
	pass bool // only with auth-tls-pass-certificate-to-upstream
}{
	{[]byte("ssl-client-cert"), template{text: variable.Text{{Kind: variable.TLSCertificate}}}, true},
	{[]byte("ssl-client-verify"), template{text: variable.Text{{Kind: variable.TLSVerify}}}, false},
	{[]byte("ssl-client-subject-dn"), template{text: variable.Text{{Kind: variable.TLSSubject}}}, false},
	{[]byte("ssl-client-issuer-dn"), template{text: variable.Text{{Kind: variable.TLSIssuer}}}, false},
}
