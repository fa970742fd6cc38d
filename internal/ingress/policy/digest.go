package policy

import (
	"crypto/hmac"
	"crypto/md5" // what RFC 7616 calls MD5, and htdigest files hold
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
	"github.com/switchyard-net/switchyard/internal/ingress/route"
)

// digest is a list of users of RFC 7616, with quality of protection "auth". Secrets hold lines of htdigest(1): the hash of
// name:realm:password by MD5, or by SHA-256.
type digest struct {
	realm  string            // as a quoted-string
	users  map[string]string // HA1 in lower case
	nonces *nonces
	// algorithms are those that the hashes are of; a client takes the first one that it knows.
	algorithms []algorithm
}

type algorithm struct {
	name string
	new  func() hash.Hash
	size int // of the hash in hex
}

func newDigest(quotedRealm, realm string, users route.Users, n *nonces) *digest {
	d := &digest{realm: quotedRealm, users: map[string]string{}, nonces: n}
	sizes := map[int]bool{}
	for name, value := range users {
		of, ha1, found := strings.Cut(value, ":")
		if !found {
			of, ha1 = realm, value
		}
		if ha1 = strings.ToLower(strings.TrimSpace(ha1)); of == realm && isHex(ha1) {
			d.users[name] = ha1
			sizes[len(ha1)] = true
		}
	}
	for _, a := range []algorithm{{"SHA-256", sha256.New, 64}, {"MD5", md5.New, 32}} {
		if sizes[a.size] || a.size == 32 && len(sizes) == 0 {
			d.algorithms = append(d.algorithms, a)
		}
	}
	return d
}

func isHex(s string) bool {
	return (len(s) == 32 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

func (d *digest) check(x *Exchange, signIn *signIn) verdict {
	value := x.Request.Header.Get("Authorization")
	scheme, rest := cutByte(value, ' ')
	if !message.Equal(scheme, "Digest") || len(rest) > maxPassword {
		return d.challenge(x, false, signIn)
	}
	p := parameters(string(rest))
	now := x.now()
	stale, ok := d.verify(x, p, now)
	switch {
	case !ok:
		return d.challenge(x, false, signIn)
	case stale:
		return d.challenge(x, true, nil)
	}
	x.User = p["username"]
	return allowed
}

// verify checks the response of a client. It is right but stale if its nonce is too old, or was used with this count before.
func (d *digest) verify(x *Exchange, p map[string]string, now time.Time) (stale, ok bool) {
	algorithm, known := d.algorithm(p["algorithm"])
	if !known || p["qop"] != "auth" || p["uri"] != string(x.Request.Target) || p["realm"] != unquoted(d.realm) {
		return false, false
	}
	count, err := strconv.ParseUint(p["nc"], 16, 32)
	if err != nil || count == 0 || len(p["nc"]) != 8 || p["cnonce"] == "" {
		return false, false
	}
	ha1, isUser := d.users[p["username"]]
	if !isUser || len(ha1) != algorithm.size {
		ha1 = strings.Repeat("0", algorithm.size)
		isUser = false
	}
	ha2 := algorithm.sum(x.Request.Method + ":" + p["uri"])
	want := algorithm.sum(strings.Join([]string{ha1, p["nonce"], p["nc"], p["cnonce"], "auth", ha2}, ":"))
	if !hmac.Equal([]byte(want), []byte(strings.ToLower(p["response"]))) || !isUser {
		return false, false
	}
	made, genuine := d.nonces.made(p["nonce"])
	if !genuine {
		return false, false
	}
	return now.Sub(made) > nonceFor || !d.nonces.use(p["nonce"], count), true
}

func (d *digest) algorithm(name string) (algorithm, bool) {
	if name == "" {
		name = "MD5"
	}
	for _, a := range d.algorithms {
		if strings.EqualFold(a.name, name) {
			return a, true
		}
	}
	return algorithm{}, false
}

func (a *algorithm) sum(text string) string {
	h := a.new()
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func (d *digest) challenge(x *Exchange, stale bool, signIn *signIn) verdict {
	if signIn != nil {
		signIn.answer(x)
		return refused
	}
	nonce := d.nonces.make(x.now())
	for _, a := range d.algorithms {
		text := "Digest realm=" + d.realm + `, qop="auth", algorithm=` + a.name + `, nonce="` + nonce + `"`
		if stale {
			text += ", stale=true"
		}
		x.Answer.Header.Add(challengeName, fixedValue(text))
	}
	x.answer(401, ReasonBasicAuth)
	return refused
}

// nonces makes and knows nonces: the time they were made, signed with a key of this process; and which counts of them were used.
type nonces struct {
	key [32]byte

	mu   sync.Mutex
	list lru[string, counts]
}

// counts are the counts of a nonce that were used: the highest, and which of the 64 up to it.
type counts struct{ highest, seen uint64 }

const (
	nonceFor   = 5 * time.Minute
	noncesKept = 1 << 13
	nonceBytes = 24
)

func newNonces() *nonces {
	n := &nonces{}
	n.list.limit = noncesKept
	rand.Read(n.key[:])
	return n
}

func (n *nonces) make(now time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixNano()))
	return base64.RawURLEncoding.EncodeToString(append(b[:], n.sign(b[:])...))
}

func (n *nonces) sign(time []byte) []byte {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write(time)
	return mac.Sum(nil)[:nonceBytes-8]
}

// made returns when a nonce was made; false: not here.
func (n *nonces) made(nonce string) (time.Time, bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceBytes || !hmac.Equal(n.sign(b[:8]), b[8:]) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), true
}

// use tells whether a count of a nonce is new. Clients with several connections send counts out of order: 64 may be under way.
func (n *nonces) use(nonce string, count uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, _ := n.list.get(nonce)
	switch {
	case count > c.highest:
		shift := count - c.highest
		c.seen = c.seen<<shift | 1
		if shift > 63 {
			c.seen = 1
		}
		c.highest = count
		return true
	case c.highest-count > 63 || c.seen>>(c.highest-count)&1 != 0:
		return false
	default:
		c.seen |= 1 << (c.highest - count)
		return true
	}
}

// parameters reads the parameters of an Authorization: tokens and quoted-strings.
func parameters(text string) map[string]string {
	p := map[string]string{}
	for text != "" {
		text = strings.TrimLeft(text, " \t,")
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return p
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			value, text = cutQuoted(rest[1:])
		} else {
			value, text, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		p[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return p
}

// cutQuoted reads a quoted-string after its first quote.
func cutQuoted(text string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == '"':
			return b.String(), text[i+1:]
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), ""
}

func unquoted(text string) string {
	value, _ := cutQuoted(strings.TrimPrefix(text, `"`))
	return value
}
