package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// password compiles authentication by name and password (RFC 7617, RFC 7616). What the Secret lacks closes the location.
func (c *compiler) password() []func(*Exchange) verdict {
	auth := c.settings.BasicAuth
	if auth == nil {
		return nil
	}
	if c.location.Users == nil {
		c.fail("auth-secret", errors.New("the Secret is missing"))
		return nil
	}
	c.edits = append(c.edits, func(x *Exchange) { x.edit(authorizationName, nil) })
	signIn := c.signIn()
	realm := quoted(auth.Realm)
	if auth.Digest {
		d := newDigest(realm, auth.Realm, *c.location.Users, c.entry.state.nonces)
		return []func(*Exchange) verdict{func(x *Exchange) verdict { return d.check(x, signIn) }}
	}
	b := &basic{
		users:     make(map[string]*password, len(*c.location.Users)),
		verdicts:  c.entry.state.passwords,
		challenge: fixedValue("Basic realm=" + realm),
	}
	for name, hash := range *c.location.Users {
		hash, _, _ = strings.Cut(hash, ":") // a comment may follow, as in nginx
		p := parsePassword(hash)
		b.users[name] = p
		if p != nil && (b.stranger == nil || p.slow && !b.stranger.slow) {
			b.stranger = p
		}
	}
	return []func(*Exchange) verdict{func(x *Exchange) verdict { return b.check(x, signIn) }}
}

// basic is a list of users of RFC 7617.
type basic struct {
	users    map[string]*password
	verdicts *verdicts
	// stranger is checked for names that are not known, so that time does not tell them from others.
	stranger  *password
	challenge []byte
}

func (b *basic) check(x *Exchange, signIn *signIn) verdict {
	name, given, ok := credentials(x.Request.Header)
	if !ok {
		return unauthorized(x, b.challenge, signIn)
	}
	p := b.users[name]
	if p == nil {
		if b.stranger != nil {
			b.verdicts.check(x, b.stranger, given)
		}
		return unauthorized(x, b.challenge, signIn)
	}
	if !b.verdicts.check(x, p, given) {
		return unauthorized(x, b.challenge, signIn)
	}
	x.User = name
	return allowed
}

// unauthorized asks for credentials, or sends the client to the page where it signs in.
func unauthorized(x *Exchange, challenge []byte, signIn *signIn) verdict {
	if signIn != nil {
		signIn.answer(x)
		return refused
	}
	x.Answer.Header.Add(challengeName, challenge)
	x.answer(401, ReasonBasicAuth)
	return refused
}

// credentials reads name and password of a Basic Authorization.
func credentials(h message.Header) (name, password string, ok bool) {
	scheme, rest := cutByte(h.Get("Authorization"), ' ')
	if !message.Equal(scheme, "Basic") || len(rest) > maxPassword {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(rest))
	if err != nil {
		return "", "", false
	}
	return cutString(string(decoded))
}

func cutString(text string) (name, password string, ok bool) { return strings.Cut(text, ":") }

// quoted writes text as a quoted-string (RFC 9110, section 5.6.4).
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			b.WriteByte('\\')
		}
		if isValue(text[i]) {
			b.WriteByte(text[i])
		}
	}
	b.WriteByte('"')
	return b.String()
}

var (
	authorizationName = []byte("Authorization")
	challengeName     = []byte("WWW-Authenticate")
)
