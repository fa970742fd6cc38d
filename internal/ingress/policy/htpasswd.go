package policy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// The most that one check of a password may cost: what a Secret of one Ingress asks for is paid by all.
const (
	maxBcryptCost = 14
	maxSHARounds  = 1 << 20
	maxPassword   = 4096
)

// password is a hash of htpasswd(1) or crypt(3).
type password struct {
	hash    string
	matches func(string) bool
	// slow hashes are checked outside of the event loop.
	slow bool
}

// parsePassword returns nil for what is no hash, or one that is too costly to check: it matches nothing then.
func parsePassword(hash string) *password {
	hash = strings.TrimSpace(hash)
	switch {
	case strings.HasPrefix(hash, "$2"):
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || cost > maxBcryptCost {
			return nil
		}
		return &password{hash, func(p string) bool {
			return bcrypt.CompareHashAndPassword([]byte(hash), []byte(p)) == nil
		}, true}
	case strings.HasPrefix(hash, "{SHA}"), strings.HasPrefix(hash, "{SSHA}"):
		return encoded(hash, false, htpasswd.AcceptSha, htpasswd.AcceptSsha)
	case strings.HasPrefix(hash, "$apr1$"), strings.HasPrefix(hash, "$1$"):
		return encoded(hash, true, htpasswd.AcceptMd5)
	case strings.HasPrefix(hash, "$5$"), strings.HasPrefix(hash, "$6$"):
		if shaRounds(hash) > maxSHARounds {
			return nil
		}
		return encoded(hash, true, htpasswd.AcceptCryptSha)
	case strings.HasPrefix(hash, "{PLAIN}"):
		plain := []byte(hash[len("{PLAIN}"):])
		return &password{hash, func(p string) bool { return hmac.Equal(plain, []byte(p)) }, false}
	default:
		return nil
	}
}

func encoded(hash string, slow bool, parsers ...htpasswd.PasswdParser) *password {
	for _, parse := range parsers {
		if e, err := parse(hash); err == nil && e != nil {
			return &password{hash, e.MatchesPassword, slow}
		}
	}
	return nil
}

// shaRounds returns how many rounds a hash of SHA-crypt asks for.
func shaRounds(hash string) int {
	rest, ok := strings.CutPrefix(hash[3:], "rounds=")
	if !ok {
		return 5000
	}
	text, _, _ := strings.Cut(rest, "$")
	n, err := strconv.Atoi(text)
	if err != nil {
		return maxSHARounds + 1
	}
	return n
}

// verdicts remembers which passwords were right, so that a hash that is slow by intention is not computed for each request. It keeps
// what cannot be turned back: a keyed hash of hash and password, with a key of this process.
type verdicts struct {
	key   [32]byte
	slots chan struct{} // of the checks that may run at the same time

	mu   sync.Mutex
	list lru[[32]byte, time.Time] // until when
}

const (
	verdictsKept = 1 << 14
	verdictFor   = 5 * time.Minute
)

func newVerdicts() *verdicts {
	v := &verdicts{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	v.list.limit = verdictsKept
	rand.Read(v.key[:]) // never fails (crypto/rand)
	return v
}

// check tells whether a password is right. A slow one is awaited; only so many are checked at the same time that requests of others
// go on.
func (v *verdicts) check(x *Exchange, p *password, given string) bool {
	if !p.slow {
		return p.matches(given)
	}
	mac := hmac.New(sha256.New, v.key[:])
	mac.Write([]byte(p.hash))
	mac.Write([]byte{0})
	mac.Write([]byte(given))
	key := [32]byte(mac.Sum(nil))
	now := x.now()
	v.mu.Lock()
	until := v.list.peek(key)
	known := until != nil && now.Before(*until)
	v.mu.Unlock()
	if known {
		return true
	}
	var right bool
	x.Engine.Await(func() {
		v.slots <- struct{}{}
		defer func() { <-v.slots }()
		right = p.matches(given)
	})
	if right {
		v.mu.Lock()
		defer v.mu.Unlock()
		until, _ := v.list.get(key)
		*until = now.Add(verdictFor)
	}
	return right
}
