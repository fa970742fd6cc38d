package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/switchyard-net/switchyard/internal/lab"
)

// sharedPrefix starts the names of shared directories, which carry the process that owns them: its id and start time.
const sharedPrefix = "switchyard-guest-"

// makeShared makes a shared directory of this process, and removes those of processes that are gone. Its path has no
// characters that are special in a parameter of the kernel if that of the temporary directory has none.
func makeShared() (string, error) {
	if err := sweep(os.TempDir()); err != nil {
		return "", err
	}
	start, err := lab.StartTime(os.Getpid())
	if err != nil {
		return "", err
	}
	path, err := os.MkdirTemp("", fmt.Sprintf("%s%d-%d-", sharedPrefix, os.Getpid(), start))
	if err == nil && strings.ContainsAny(path, " \t\n,\"'") {
		err = errors.Join(fmt.Errorf("%s: a guest cannot take it as a parameter; set TMPDIR to a plain path", path), os.Remove(path))
	}
	return path, err
}

// sweep removes the shared directories, below temporary, of processes that are gone. The guests went with them.
func sweep(temporary string) error {
	all, err := filepath.Glob(filepath.Join(temporary, sharedPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range all {
		var pid int
		var start uint64
		name := strings.TrimPrefix(filepath.Base(path), sharedPrefix)
		if _, err := fmt.Sscanf(name, "%d-%d-", &pid, &start); err != nil {
			continue // not made by us
		}
		if now, err := lab.StartTime(pid); err != nil || now != start {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
