package policy

import (
	"crypto/sha256"
	"sync"
	"time"
)

// answers are those of authentication servers that may be used again, the newest ones.
type answers struct {
	mu   sync.Mutex
	list lru[answerKey, keptAnswer]
}

type keptAnswer struct {
	answer
	until time.Time
}

// answerKey names an answer: its location, and the hash of its auth-cache-key.
type answerKey struct {
	location uint64
	key      [sha256.Size]byte
}

// answersKept is as many as fit into nginx's zone for keys.
const (
	answersKept = 1 << 14
	answerBytes = 8 << 10 // a larger one is not kept
)

func newAnswers() *answers {
	a := &answers{}
	a.list.limit = answersKept
	return a
}

func newAnswerKey(location uint64, identity string, key []byte) answerKey {
	h := sha256.New()
	h.Write([]byte(identity))
	h.Write(key)
	return answerKey{location, [sha256.Size]byte(h.Sum(nil))}
}

func (a *answers) get(key answerKey, now time.Time) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := a.list.peek(key)
	if kept == nil || !now.Before(kept.until) {
		return answer{}, false
	}
	return kept.answer, true
}

func (a *answers) put(key answerKey, given answer, until time.Time) {
	size := 0
	for _, list := range [][]string{given.fields, given.challenge} {
		for _, text := range list {
			size += len(text)
		}
	}
	if size > answerBytes {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, _ := a.list.get(key)
	*kept = keptAnswer{given, until}
}
