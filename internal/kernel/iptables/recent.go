package iptables

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// recentDirectory holds a file for each list of the match recent, with a line for each address. It is not that of
// /proc/net, which is the namespace of the process's first thread.
const recentDirectory = "/proc/thread-self/net/xt_recent"

// RecentLimit returns how many addresses a list of the match recent holds before it forgets the oldest: the parameter
// ip_list_tot of the kernel's module xt_recent, 100 unless somebody has changed it.
func RecentLimit() int {
	text, err := os.ReadFile("/sys/module/xt_recent/parameters/ip_list_tot")
	if n, malformed := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && malformed == nil {
		return n
	}
	return 100
}

// FullLists counts the lists of the match recent whose names begin so and which hold as many addresses as they can.
func (c *Conn) FullLists(prefix string) (int, error) {
	if c.recent == nil {
		root, err := os.OpenRoot(recentDirectory)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil // not loaded: there is no list
		}
		if err != nil {
			return 0, err
		}
		c.recent = root
	}
	lists, err := fs.ReadDir(c.recent.FS(), ".")
	if err != nil {
		return 0, err
	}
	limit, full := RecentLimit(), 0
	for _, list := range lists {
		if !strings.HasPrefix(list.Name(), prefix) {
			continue
		}
		n, err := c.remembered(list.Name())
		if err != nil {
			return full, err
		}
		if n >= limit {
			full++
		}
	}
	return full, nil
}

// remembered counts the addresses of a list; one that is gone has none.
func (c *Conn) remembered(list string) (int, error) {
	file, err := c.recent.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	return bytes.Count(text, []byte("\n")), err
}
