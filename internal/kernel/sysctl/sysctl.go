// Package sysctl reads and writes the kernel's settings below /proc/sys (proc_sys(5)).
package sysctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Tree is where settings are found. Those below net. belong to the network namespace of the calling thread.
type Tree struct {
	// Root is the directory; empty: /proc/sys.
	Root string
}

// path returns the file of a setting, such as "net.netfilter.nf_conntrack_max".
func (t Tree) path(key string) string {
	root := t.Root
	if root == "" {
		root = "/proc/sys"
	}
	return filepath.Join(root, strings.ReplaceAll(key, ".", "/"))
}

// Int returns the value of a setting that is one integer. Errors are those of os and strconv, with the setting's name.
func (t Tree) Int(key string) (int, error) {
	text, err := os.ReadFile(t.path(key))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %s: %w", key, err)
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %s: %w", key, err)
	}
	return value, nil
}

// SetInt changes a setting, unless it has the value already. Errors are those of os, with the setting's name.
func (t Tree) SetInt(key string, value int) error {
	if now, err := t.Int(key); err == nil && now == value {
		return nil
	}
	// Without O_CREATE: a setting that is not there is an error, on file systems other than proc too.
	file, err := os.OpenFile(t.path(key), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("set sysctl %s to %d: %w", key, value, err)
	}
	_, err = file.WriteString(strconv.Itoa(value))
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("set sysctl %s to %d: %w", key, value, err)
	}
	return nil
}

// Writable reports whether the kernel offers the setting for writing in the calling thread's namespaces: one that
// belongs to the whole machine is read-only in a network namespace of its own.
func (t Tree) Writable(key string) bool {
	info, err := os.Stat(t.path(key))
	return err == nil && info.Mode().Perm()&0o200 != 0
}
