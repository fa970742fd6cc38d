package policy

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/settings"
)

const basicAuth = "auth-type: basic\nauth-secret: users\nauth-realm: Who are you"

func withUsers(s *site, users route.Users) *site {
	s.location.Users = &users
	return s
}

func authorization(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// The password of each is "secret"; the hashes are those of htpasswd(1) and openssl passwd.
var hashed = route.Users{
	"bcrypt": "$2y$05$vsugNvi9o2sL1kBTrLLQyekkNtnPRPwqtvptWngbvM.gzkpw0bjYW",
	"apr1":   "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0",
	"sha":    "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
	"ssha":   "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
	"md5":    "$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
	"sha256": "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
	"sha512": "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
	"plain":  "{PLAIN}secret",
}

func TestBasicAuth(t *testing.T) {
	refused := lines("= 401", `WWW-Authenticate: Basic realm="Who are you"`)
	s := withUsers(newSite(t, "/", basicAuth), route.Users{
		"plain": "{PLAIN}secret:a comment", "none": "", "des": "rqXexS6ZhobKA", "costly": "$2y$31$vsugNvi9o2sL1kBTrLLQyekkNtnPRPwqtvptWngbvM.gzkpw0bjYW",
		"long": "$6$rounds=999999999$salt$x",
	})
	for request, want := range map[string]string{
		"":                                 refused,
		"Authorization: Bearer x":          refused,
		"Authorization: Basic":             refused,
		"Authorization: Basic %%":          refused,
		"Authorization: Basic cGxhaW4=":    refused, // no colon
		authorization("plain", "wrong"):    refused,
		authorization("none", ""):          refused,
		authorization("des", "secret"):     refused,
		authorization("costly", "secret"):  refused,
		authorization("long", "secret"):    refused,
		authorization("unknown", "secret"): refused,
		authorization("", ""):              refused,
		authorization("plain", "secret"):   "GET /\nset Authorization: ",
		strings.ToLower("AUTHORIZATION") + ": bAsIc " + base64.StdEncoding.EncodeToString([]byte("plain:secret")): "GET /\nset Authorization: ",
	} {
		if diff := cmp.Diff(want, s.outcome("GET http://example.com/\n"+request)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", request, diff)
		}
	}
}

func TestPasswords(t *testing.T) {
	for name, hash := range hashed {
		p := parsePassword(hash)
		if p == nil || !p.matches("secret") || p.matches("secrets") || p.matches("") {
			t.Errorf("%s: the right password is refused or a wrong one is not", name)
		}
	}
}

// TestSlowPasswordsAreKept: bcrypt is paid once for a right password, and each time for a wrong one.
func TestSlowPasswordsAreKept(t *testing.T) {
	s := newSite(t, "/", "")
	v := newVerdicts()
	runs := 0
	p := &password{"hash", func(given string) bool { runs++; return given == "secret" }, true}
	x := s.request("GET http://example.com/")
	for range 3 {
		if !v.check(x, p, "secret") || v.check(x, p, "wrong") {
			t.Fatal("wrong verdict")
		}
	}
	if runs != 4 {
		t.Errorf("%d checks, want 1 of the right and 3 of the wrong password", runs)
	}
	s.engine.now = s.engine.now.Add(verdictFor)
	if v.check(x, p, "secret"); runs != 5 {
		t.Error("a verdict is kept for ever")
	}
	if v.check(x, &password{"another hash", func(string) bool { return false }, true}, "secret") {
		t.Error("the verdict of one hash counts for another")
	}
}

func TestAuthClosedWithoutSecret(t *testing.T) {
	s := newSite(t, "/", basicAuth)
	if got := s.outcome("GET http://example.com/\n" + authorization("a", "b")); got != "= 503" {
		t.Errorf("without users: %s", got)
	}
	s = newSite(t, "/.well-known/acme-challenge/a", basicAuth)
	s.location.Users = &route.Users{}
	if got := s.outcome("GET http://example.com/.well-known/acme-challenge/a"); got != "GET /.well-known/acme-challenge/a" {
		t.Errorf("no-auth-locations: %s", got)
	}
}

func TestSatisfyAny(t *testing.T) {
	s := withUsers(newSite(t, "/", basicAuth+"\nsatisfy: any\nallowlist-source-range: 192.0.2.0/24"), route.Users{"a": "{PLAIN}b"})
	refused := lines("= 401", `WWW-Authenticate: Basic realm="Who are you"`)
	for request, want := range map[string]string{
		"": "GET /\nset Authorization: ",
		"Peer: 198.51.100.1:1\n" + authorization("a", "b"): "GET /\nset Authorization: ",
		"Peer: 198.51.100.1:1\n" + authorization("a", "x"): refused,
		"Peer: 198.51.100.1:1":                             refused,
	} {
		if diff := cmp.Diff(want, s.outcome("GET http://example.com/\n"+request)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", request, diff)
		}
	}
	s.location.Settings.Access.SatisfyAny = false
	s.compiled = false
	if got := s.outcome("GET http://example.com/\nPeer: 198.51.100.1:1\n" + authorization("a", "b")); got != "= 403" {
		t.Errorf("satisfy all: %s", got)
	}
}

func TestDigest(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		sum       func(string) string
	}{
		{"MD5", func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }},
		{"SHA-256", func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			s := newSite(t, "/", "auth-type: digest\nauth-secret: users\nauth-realm: r")
			withUsers(s, route.Users{"a": "r:" + c.sum("a:r:secret"), "b": "other:" + c.sum("b:other:secret")})
			x := s.request("GET http://example.com/x?y")
			if s.policy.Admit(x) || x.Answer.Status != 401 {
				t.Fatalf("answer %+v", x.Answer)
			}
			challenge := string(x.Answer.Header.Get("WWW-Authenticate"))
			nonce := parameters(challenge)["nonce"]
			x.End()
			// ask sends a request with the response of a client that has the nonce.
			ask := func(user, password, nonce, nc, uri string) string {
				ha2 := c.sum("GET:" + uri)
				response := c.sum(c.sum(user+":r:"+password) + ":" + nonce + ":" + nc + ":cn:auth:" + ha2)
				return s.outcome(fmt.Sprintf(`GET http://example.com/x?y`+"\n"+`Authorization: Digest username="%s", realm="r", nonce="%s", uri="%s", `+
					`algorithm=%s, qop=auth, nc=%s, cnonce="cn", response="%s"`, user, nonce, uri, c.algorithm, nc, response))
			}
			const in = "GET /x?y\nset Authorization: "
			for _, step := range []struct{ got, want string }{
				{ask("a", "secret", nonce, "00000001", "/x?y"), in},
				{ask("a", "secret", nonce, "00000001", "/x?y"), "stale"}, // replayed
				{ask("a", "secret", nonce, "00000003", "/x?y"), in},
				{ask("a", "secret", nonce, "00000002", "/x?y"), in}, // by another connection
				{ask("a", "secret", nonce, "00000002", "/x?y"), "stale"},
				{ask("a", "wrong", nonce, "00000004", "/x?y"), "401"},
				{ask("b", "secret", nonce, "00000004", "/x?y"), "401"}, // of another realm
				{ask("nobody", "secret", nonce, "00000004", "/x?y"), "401"},
				{ask("a", "secret", nonce, "00000004", "/other"), "401"},
				{ask("a", "secret", nonce, "4", "/x?y"), "401"},
				{ask("a", "secret", "made-up", "00000004", "/x?y"), "401"},
			} {
				switch step.want {
				case in:
					if step.got != in {
						t.Errorf("got %s", step.got)
					}
				default:
					if !strings.HasPrefix(step.got, "= 401") || strings.Contains(step.got, "stale=true") != (step.want == "stale") {
						t.Errorf("want %s, got %s", step.want, step.got)
					}
				}
			}
			s.engine.now = s.engine.now.Add(nonceFor + time.Second)
			if got := ask("a", "secret", nonce, "00000009", "/x?y"); !strings.Contains(got, "stale=true") {
				t.Errorf("an old nonce: %s", got)
			}
		})
	}
}

func FuzzHtpasswd(f *testing.F) {
	for _, hash := range hashed {
		f.Add(hash, "secret")
	}
	f.Add("$5$rounds=1000$s$x", "")
	f.Add("$1$", "x")
	f.Fuzz(func(t *testing.T, hash, given string) {
		if strings.HasPrefix(hash, "$2") && len(hash) > 6 && hash[4:6] > "06" || len(given) > 64 || len(hash) > 256 {
			return // slow by intention
		}
		if strings.HasPrefix(hash, "$5$rounds=") || strings.HasPrefix(hash, "$6$rounds=") {
			if shaRounds(hash) > 5000 {
				return
			}
		}
		if p := parsePassword(hash); p != nil {
			p.matches(given)
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	f.Add("Basic cGxhaW46c2VjcmV0")
	f.Add(`Digest username="a\"b", realm="r", nonce="n", uri="/x", qop=auth, nc=00000001, cnonce="c", response="r"`)
	f.Add("Digest =,=,\"")
	s := settings.BasicAuth{Realm: "r"}
	f.Fuzz(func(t *testing.T, value string) {
		site := newSite(t, "/", "")
		x := site.request("GET http://example.com/")
		x.Request.Header.AddString("Authorization", value)
		d := newDigest(quoted(s.Realm), s.Realm, route.Users{"a": strings.Repeat("0", 32)}, newNonces())
		if d.check(x, nil) == allowed {
			t.Fatalf("%q is let in", value)
		}
		x.End()
		x = site.request("GET http://example.com/")
		x.Request.Header.AddString("Authorization", value)
		b := &basic{users: map[string]*password{}, verdicts: newVerdicts()}
		if b.check(x, nil) == allowed {
			t.Fatalf("%q is let in", value)
		}
	})
}
