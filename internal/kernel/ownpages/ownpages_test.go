package ownpages

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRelease(t *testing.T) {
	before := ofFiles(t)
	if err := Release(); err != nil {
		t.Fatal(err)
	}
	after := ofFiles(t)
	t.Logf("%d KiB of files were resident, %d KiB are", before, after)
	if after >= before {
		t.Errorf("%d KiB of files were resident, and %d KiB are after the release", before, after)
	}
}

// ofFiles returns how many KiB of files are resident.
func ofFiles(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOnlyReadOnlyPagesOfTheProgram(t *testing.T) {
	const maps = `00400000-0251c000 r-xp 00000000 fe:00 1311 /usr/bin/switchyard
Size:              34672 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
0251c000-04c84000 r--p 0211c000 fe:00 1311 /usr/bin/switchyard
Anonymous:             0 kB
04c84000-04c90000 r--p 04884000 fe:00 1311 /usr/bin/switchyard
Anonymous:            48 kB
04c90000-04d33000 rw-p 04890000 fe:00 1311 /usr/bin/switchyard
Anonymous:             0 kB
04d33000-06d84000 rw-p 00000000 00:00 0
Anonymous:          1024 kB
7f2bb0000000-7f2bb0021000 r--p 00000000 fe:00 17 /usr/lib/locale/C.utf8/LC_CTYPE
Anonymous:             0 kB
7ffd7a3e1000-7ffd7a3e5000 r--p 00000000 00:00 0                          [vvar]
Anonymous:             0 kB
`
	got, err := readOnly(strings.NewReader(maps), "/usr/bin/switchyard")
	if err != nil {
		t.Fatal(err)
	}
	want := []region{{0x400000, 0x251c000}, {0x251c000, 0x4c84000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(region{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := readOnly(strings.NewReader("00400000+1 r-xp 00000000 fe:00 1311 /usr/bin/switchyard"), "/usr/bin/switchyard"); err == nil {
		t.Error("half a region was accepted")
	}
}
