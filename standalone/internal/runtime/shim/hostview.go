package shim

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hostFileSystems lists the mount points, parents first, whose files a container sees beside those of the host's root:
// disks and memory file systems, but no kernel interfaces, no daemons' state, and nothing that belongs to containers.
func hostFileSystems(r Root) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the host's file systems: %w", err)
	}
	defer file.Close()
	var points []string
	scan := bufio.NewScanner(file)
	for scan.Scan() {
		point, fsType, ok := parseMountInfo(scan.Text())
		if ok && showType(fsType) && showPoint(point, r) && !slices.Contains(points, point) {
			points = append(points, point)
		}
	}
	slices.Sort(points)
	return points, scan.Err()
}

// parseMountInfo takes the mount point and the type from a line of mountinfo (proc_pid_mountinfo(5)).
func parseMountInfo(line string) (point, fsType string, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	fields, rest := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 5 || len(rest) < 1 {
		return "", "", false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return unescape.Replace(fields[4]), rest[0], true
}

func showType(fsType string) bool {
	switch fsType {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "tmpfs", "9p", "virtiofs", "nfs", "nfs4", "vfat", "fuseblk":
		return true
	}
	return false
}

func showPoint(point string, r Root) bool {
	if point == "/" {
		return false
	}
	private := append([]string{"/proc", "/sys", "/dev", "/run", "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet"}, r.Hide...)
	for _, dir := range append(private, r.Merged, r.Upper) {
		if point == dir || strings.HasPrefix(point, filepath.Clean(dir)+"/") {
			return false
		}
	}
	return true
}
