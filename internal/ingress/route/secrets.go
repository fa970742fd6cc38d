package route

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
)

// certificate is one entry of spec.tls.
type certificate struct {
	hosts  []string // in lower case
	secret string   // "": none named
	cert   *Certificate
}

// secret returns the data of a Secret, or why there is none.
func (b *Builder) secret(ref model.Ref) (map[string][]byte, error) {
	s, ok := b.snap.Secrets.Get(ref)
	switch {
	case !ok:
		return nil, fmt.Errorf("Secret %s was not read yet", ref) //nolint:staticcheck // the kind of object is a name
	case s.Problem != "":
		return nil, fmt.Errorf("Secret %s: %s", ref, s.Problem) //nolint:staticcheck // the kind of object is a name
	}
	return s.Data, nil
}

// resolve reads the Secrets that an Ingress names. What authentication needs and is missing denies.
func (b *Builder) resolve(s *state) {
	for i, t := range s.ing.TLS {
		c := certificate{secret: t.Secret}
		for _, h := range t.Hosts {
			c.hosts = append(c.hosts, strings.ToLower(h))
		}
		if t.Secret != "" {
			var err error
			c.cert, err = b.certificate(model.Ref{Namespace: s.ing.Ref.Namespace, Name: t.Secret})
			if err != nil {
				s.problem(ReasonCertificate, fmt.Sprintf("spec.tls[%d].secretName: %v; the default certificate is shown", i, err))
			}
		}
		s.certificates = append(s.certificates, c)
	}
	if auth := s.settings.BasicAuth; auth != nil {
		users, err := b.readUsers(auth.Secret, auth.Map)
		if err != nil {
			s.deny(ReasonSecret, fmt.Sprintf("auth-secret: %v; all paths answer 503 until it is there", err))
		}
		s.users = users
	}
	if c := s.settings.ClientTLS; c != nil {
		ca, crl, err := b.authority(c.Secret)
		if err != nil {
			s.deny(ReasonSecret, fmt.Sprintf("auth-tls-secret: %v; all paths answer 503 until it is there", err))
		}
		s.clientTLS = &ClientTLS{ClientTLS: c, CA: ca, CRL: crl}
	}
	if ref := s.settings.BackendTLS.Secret; ref != (model.Ref{}) {
		identity, err := b.identity(ref)
		if err != nil {
			s.deny(ReasonSecret, fmt.Sprintf("proxy-ssl-secret: %v; all paths answer 503 until it is there", err))
		}
		s.identity = identity
	}
}

// certificate reads tls.crt and tls.key.
func (b *Builder) certificate(ref model.Ref) (*Certificate, error) {
	data, err := b.secret(ref)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"tls.crt", "tls.key"} {
		if len(data[key]) == 0 {
			return nil, fmt.Errorf("Secret %s has no key %s", ref, key) //nolint:staticcheck // the kind of object is a name
		}
	}
	pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
	if err != nil {
		return nil, fmt.Errorf("Secret %s: %w", ref, err) //nolint:staticcheck // the kind of object is a name
	}
	return &Certificate{Secret: ref, TLS: &pair}, nil
}

func (b *Builder) defaultCertificate() *Certificate {
	delete(b.problems, "certificate")
	ref := b.config.DefaultCertificate
	if ref == (model.Ref{}) {
		return nil
	}
	c, err := b.certificate(ref)
	if err != nil {
		b.problems["certificate"] = []Problem{{
			Kind: "Secret", Ref: ref, Reason: ReasonCertificate, Message: fmt.Sprintf("default certificate: %v; one made at the start is shown", err),
		}}
		return nil
	}
	return c
}

// covers reports whether a certificate is for a host, which may be a wildcard; also by its common name, as ingress-nginx does.
func (c *Certificate) covers(host string) bool {
	leaf := c.TLS.Leaf
	if leaf == nil {
		return false
	}
	name := host
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		name = "any-label." + rest
		for _, san := range leaf.DNSNames {
			if strings.EqualFold(san, host) {
				return true
			}
		}
	}
	if leaf.VerifyHostname(name) == nil {
		return true
	}
	cn := strings.ToLower(leaf.Subject.CommonName)
	wild, isWild := strings.CutPrefix(cn, "*.")
	_, rest, _ := strings.Cut(name, ".")
	return len(leaf.DNSNames) == 0 && (cn == host || isWild && rest == wild)
}

// readUsers reads an htpasswd file in key "auth", or a user of each key.
func (b *Builder) readUsers(ref model.Ref, asMap bool) (*Users, error) {
	data, err := b.secret(ref)
	if err != nil {
		return nil, err
	}
	users := Users{}
	if asMap {
		for name, hash := range data {
			users[name] = strings.TrimSpace(string(hash))
		}
		return &users, nil
	}
	file, ok := data["auth"]
	if !ok {
		return nil, fmt.Errorf(`Secret %s has no key "auth"`, ref) //nolint:staticcheck // the kind of object is a name
	}
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSpace(line)
		if name, hash, ok := strings.Cut(line, ":"); ok && name != "" && !strings.HasPrefix(line, "#") {
			if _, twice := users[name]; !twice { // the first one counts, as in nginx
				users[name] = hash
			}
		}
	}
	return &users, nil
}

// authority reads ca.crt and ca.crl.
func (b *Builder) authority(ref model.Ref) (ca, crl []byte, err error) {
	data, err := b.secret(ref)
	if err != nil {
		return nil, nil, err
	}
	ca, crl = data["ca.crt"], data["ca.crl"]
	if !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return nil, nil, fmt.Errorf("Secret %s has no certificate in key ca.crt", ref) //nolint:staticcheck // the kind of object is a name
	}
	if len(crl) > 0 {
		block, _ := pem.Decode(crl)
		if block == nil {
			return nil, nil, fmt.Errorf("Secret %s has no PEM in key ca.crl", ref) //nolint:staticcheck // the kind of object is a name
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return nil, nil, fmt.Errorf("Secret %s, key ca.crl: %w", ref, err) //nolint:staticcheck // the kind of object is a name
		}
	}
	return ca, crl, nil
}

// identity reads what is shown to backends and whom they are believed to be by; either may be missing, but not both.
func (b *Builder) identity(ref model.Ref) (*BackendIdentity, error) {
	data, err := b.secret(ref)
	if err != nil {
		return nil, err
	}
	i := &BackendIdentity{Certificate: data["tls.crt"], Key: data["tls.key"], CA: data["ca.crt"]}
	if len(i.Certificate) > 0 || len(i.Key) > 0 {
		if _, err := tls.X509KeyPair(i.Certificate, i.Key); err != nil {
			return nil, fmt.Errorf("Secret %s: %w", ref, err) //nolint:staticcheck // the kind of object is a name
		}
	}
	if len(i.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(i.CA) {
		return nil, fmt.Errorf("Secret %s has no certificate in key ca.crt", ref) //nolint:staticcheck // the kind of object is a name
	}
	if len(bytes.TrimSpace(i.CA)) == 0 && len(i.Certificate) == 0 {
		return nil, fmt.Errorf("Secret %s has neither ca.crt nor tls.crt and tls.key (but %s)", ref, //nolint:staticcheck // the kind of object is a name
			strings.Join(slices.Sorted(maps.Keys(data)), ", "))
	}
	return i, nil
}
