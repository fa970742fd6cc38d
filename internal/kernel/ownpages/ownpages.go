// Package ownpages gives back memory that the process holds of its own program file.
//
// A start touches most of a program: the kernel maps what lies around each page that is needed, and each package sets itself
// up. What runs on afterwards needs a part of that.
package ownpages

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Release takes the read-only pages of the program's file out of the resident set (madvise(2), MADV_DONTNEED). They stay in
// the page cache, from where those that are used come back one by one, for a minor fault each.
func Release() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program's file: %w", err)
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("find the program's pages: %w", err)
	}
	regions, err := readOnly(maps, program)
	if err := errors.Join(err, maps.Close()); err != nil {
		return fmt.Errorf("find the program's pages: %w", err)
	}
	for _, r := range regions {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("release the program's pages: %w", os.NewSyscallError("madvise", errno))
		}
	}
	return nil
}

// region is a range of addresses.
type region struct{ start, end uintptr }

// readOnly returns the regions in a list like /proc/self/smaps, proc_pid_smaps(5), that are of a file, cannot be written to,
// and have no page that was: such a page, as the relocated ones of a position-independent program, exists nowhere else.
func readOnly(smaps io.Reader, file string) ([]region, error) {
	var list []region
	var this region // zero: not to be released
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 1 && !strings.HasSuffix(fields[0], ":"):
			this = region{}
			if len(fields) == 6 && fields[5] == file && !strings.Contains(fields[1], "w") {
				var err error
				if this, err = parseRegion(fields[0]); err != nil {
					return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
				}
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && this != region{}:
			list = append(list, this)
		}
	}
	return list, lines.Err()
}

func parseRegion(text string) (region, error) {
	from, to, _ := strings.Cut(text, "-")
	start, err := strconv.ParseUint(from, 16, strconv.IntSize)
	end, endErr := strconv.ParseUint(to, 16, strconv.IntSize)
	return region{uintptr(start), uintptr(end)}, errors.Join(err, endErr)
}
