package shim

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// identity is a User after a look into the container's /etc/passwd and /etc/group.
type identity struct {
	uid, gid int
	groups   []int
	home     string
}

// lookupUser completes u. A numeric user need not be in /etc/passwd; a name must be.
func lookupUser(u User) (identity, error) {
	id := identity{uid: u.UID, gid: u.GID, groups: slices.Clone(u.Groups), home: "/"}
	entry, found := findPasswd(u)
	if u.Name != "" && !found {
		return id, fmt.Errorf("runAsUserName: user %q is not in the container's /etc/passwd", u.Name)
	}
	if found {
		id.uid, id.home = entry.uid, entry.home
	}
	if id.gid < 0 && found {
		id.gid = entry.gid
	}
	id.gid = max(id.gid, 0)
	if found && !u.Strict {
		id.groups = append(id.groups, memberships(entry.name)...)
	}
	slices.Sort(id.groups)
	id.groups = slices.Compact(id.groups)
	return id, nil
}

type passwdEntry struct {
	name     string
	uid, gid int
	home     string
}

func findPasswd(u User) (passwdEntry, bool) {
	var entry passwdEntry
	var found bool
	eachLine("/etc/passwd", 6, func(f []string) {
		uid, err := strconv.Atoi(f[2])
		if err != nil || found || (u.Name != "" && f[0] != u.Name) || (u.Name == "" && uid != u.UID) {
			return
		}
		gid, err := strconv.Atoi(f[3])
		if err != nil {
			return
		}
		entry, found = passwdEntry{name: f[0], uid: uid, gid: gid, home: f[5]}, true
	})
	return entry, found
}

// memberships are the groups of /etc/group that list the user.
func memberships(name string) []int {
	var gids []int
	eachLine("/etc/group", 4, func(f []string) {
		gid, err := strconv.Atoi(f[2])
		if err == nil && slices.Contains(strings.Split(f[3], ","), name) {
			gids = append(gids, gid)
		}
	})
	return gids
}

// eachLine calls f with the fields of every line that has at least n; a file that is missing has no lines.
func eachLine(path string, n int, f func([]string)) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	for s := bufio.NewScanner(file); s.Scan(); {
		if fields := strings.Split(s.Text(), ":"); len(fields) >= n {
			f(fields)
		}
	}
}
