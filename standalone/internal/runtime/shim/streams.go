package shim

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveStreams makes the user the owner of the command's standard streams: opening /dev/stdout again, as many servers do
// for their logs, takes permission. Shared devices (/dev/null) stay as they are.
func giveStreams(uid int, streams ...*os.File) error {
	for _, f := range streams {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("look at a standard stream: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || (info.Mode()&os.ModeCharDevice != 0 && unix.Major(st.Rdev) == memoryDevices) {
			continue
		}
		if err := f.Chown(uid, -1); err != nil {
			return fmt.Errorf("give a standard stream to user %d: %w", uid, err)
		}
	}
	return nil
}

// memoryDevices is the major number of /dev/null and its like.
const memoryDevices = 1
