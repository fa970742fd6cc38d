// Package lab builds topologies of network namespaces: the networks that tests, benchmarks and the standalone mode run in.
//
//	l, err := lab.New("demo")
//	defer l.Close()
//	lan, err := l.NewLAN("lan", 0)
//	a, err := l.NewNamespace("a")
//	err = lan.Join(a, "eth0", netip.MustParsePrefix("192.0.2.1/24"))
//	err = a.Do(func() error { return probe("192.0.2.2:80") })
//
// Tests use ForTest, which fails the test on errors and clears up after it. A namespace starts with its loopback up,
// duplicate address detection off, and no route anywhere: nothing reaches the host's network unless Host is joined to it.
//
// Namespaces are bind-mounted in Directory, for `nsenter --net=PATH ...`, under names that carry the process that owns
// them. Sweep clears what a process that is gone has left.
package lab

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// Directory is where namespaces are mounted. It is not that of ip-netns(8), /run/netns: the first `ip netns add` on a
// machine mounts that directory over itself with all that is in it, and what was there before can no longer be removed.
const Directory = "/run/switchyard/netns"

// Prefixes of the names below Directory.
const (
	// ownedPrefix starts the name of a namespace that lives no longer than the process named in it.
	ownedPrefix = "swy-"
	// keptPrefix starts the name of a namespace that outlives the process that made it.
	keptPrefix = "swyd-"
)

// validName is what a lab or a namespace may be called: it becomes part of a file name, whose parts are split at dashes
// only from the left.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$`)

// Lab is a set of network namespaces that are made and removed together. It is safe for concurrent use.
type Lab struct {
	prefix string

	mu         sync.Mutex
	namespaces []*Namespace // in the order they were made; guarded by mu
	sequence   int          // number of the next veth's temporary name; guarded by mu
}

// New returns an empty lab of this process. Its namespaces are leftovers, for Sweep, as soon as the process is gone.
func New(name string) (*Lab, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("lab name %q: want letters, digits, '_', '.' and '-'", name)
	}
	start, err := StartTime(os.Getpid())
	if err != nil {
		return nil, err
	}
	return &Lab{prefix: fmt.Sprintf("%s%d-%d-%s-", ownedPrefix, os.Getpid(), start, name)}, nil
}

// Keep returns an empty lab whose namespaces outlive this process: they are named for id alone, and Sweep leaves them.
// The owner removes them with Close, or with Clear from another process.
func Keep(id string) (*Lab, error) {
	if !validName.MatchString(id) || strings.Contains(id, "-") {
		return nil, fmt.Errorf("lab id %q: want letters, digits, '_' and '.'", id)
	}
	return &Lab{prefix: keptPrefix + id + "-"}, nil
}

// Close removes the namespaces of the lab, the last one first, killing the processes that still run in them.
// It is idempotent.
func (l *Lab) Close() error {
	l.mu.Lock()
	all := l.namespaces
	l.namespaces = nil
	l.mu.Unlock()
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		errs = append(errs, all[i].Close())
	}
	return errors.Join(errs...)
}

// Path returns the file that a namespace of this lab is, or would be, mounted on.
func (l *Lab) Path(name string) string {
	return Directory + "/" + l.prefix + name
}
