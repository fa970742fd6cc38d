package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hostFileSystems lists the mount points, parents first, whose files a container sees beside those of the host's root:
// disks and memory file systems, but no kernel interfaces, no daemons' state, and nothing that belongs to containers.
func hostFileSystems(r Root) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the host's file systems: %w", err)
	}
	return fileSystems(string(text), r), nil
}

// fileSystems selects from the text of a mountinfo file.
func fileSystems(text string, r Root) []string {
	var root mountInfo
	var points []string
	for line := range strings.Lines(text) {
		m, ok := parseMountInfo(line)
		if !ok {
			continue
		}
		if m.point == "/" {
			root = m
			continue
		}
		// A bind mount of something that the root shows anyway is the node's own arrangement.
		known := m.device == root.device && below(m.root, root.root)
		if showType(m.fsType) && showPoint(m.point, r) && !known && !slices.Contains(points, m.point) {
			points = append(points, m.point)
		}
	}
	slices.Sort(points)
	return points
}

// mountInfo is a line of mountinfo: directory root of the file system on device is at point.
type mountInfo struct {
	device, root, point, fsType string
}

// parseMountInfo reads a line (proc_pid_mountinfo(5)).
func parseMountInfo(line string) (m mountInfo, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	fields, rest := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 5 || len(rest) < 1 {
		return mountInfo{}, false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return mountInfo{device: fields[2], root: unescape.Replace(fields[3]), point: unescape.Replace(fields[4]), fsType: rest[0]}, true
}

// below reports whether path is dir or inside it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
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
		if below(point, filepath.Clean(dir)) {
			return false
		}
	}
	return true
}
