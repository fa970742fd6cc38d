package ipvs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ReuseMode returns what net.ipv4.vs.conn_reuse_mode should be: 1, so that connections from a source port that is used
// again are scheduled anew; 0 on kernels before 5.9, which delay them by a second then (kubernetes/kubernetes#81775).
func ReuseMode() int {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return 1
	}
	return reuseMode(unix.ByteSliceToString(name.Release[:]))
}

func reuseMode(release string) int {
	var major, minor int
	_, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	if err == nil && (major < 5 || major == 5 && minor < 9) {
		return 0
	}
	return 1
}
