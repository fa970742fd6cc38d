package shim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFileSystems(t *testing.T) {
	text := `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:5 / /dev rw - devtmpfs devtmpfs rw
25 24 0:22 / /dev/shm rw - tmpfs tmpfs rw
26 22 0:23 / /run rw - tmpfs tmpfs rw
27 22 0:24 / /tmp rw - tmpfs tmpfs rw
28 22 254:1 / /home\040of\040all rw - xfs /dev/vdb rw
29 22 254:0 /data/node1/log /var/log rw - ext4 /dev/vda rw
30 22 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
31 22 0:51 / /data/node1/kubelet/pods/x rw - tmpfs tmpfs rw
32 22 7:0 / /snap/core rw - squashfs /dev/loop0 ro
33 22 254:1 / /home\040of\040all rw - xfs /dev/vdb rw
not a mount
`
	got := fileSystems(text, Root{Hide: []string{"/data/"}, Merged: "/state/merged", Upper: "/state/upper"})
	if diff := cmp.Diff([]string{"/home of all", "/tmp"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFileSystemsOfBtrfs(t *testing.T) {
	text := `22 1 0:30 /@ / rw - btrfs /dev/vda rw
23 22 0:30 /@home /home rw - btrfs /dev/vda rw
24 22 0:30 /@/data/log /var/log rw - btrfs /dev/vda rw
`
	got := fileSystems(text, Root{Merged: "/state/merged", Upper: "/state/upper"})
	if diff := cmp.Diff([]string{"/home"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzParseMountInfo(f *testing.F) {
	f.Add("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw")
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := parseMountInfo(line); ok && (m.device == "" || m.fsType == "") {
			t.Errorf("%q: %+v", line, m)
		}
	})
}

func TestLookupEnv(t *testing.T) {
	env := completeEnv([]string{"A=1", "PATH=/x", "A=2", "AB=3"}, "/home/me")
	if diff := cmp.Diff([]string{"A=1", "PATH=/x", "A=2", "AB=3", "HOME=/home/me"}, env); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, _ := lookupEnv(env, "A"); got != "2" {
		t.Errorf("A is %q, want the last value", got)
	}
}
