package shim

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"golang.org/x/sys/unix"
)

// mountVolumes makes the bind mounts, those nearer to the root first, so that one may lie inside another.
func mountVolumes(root string, mounts []Mount) error {
	sorted := slices.Clone(mounts)
	slices.SortStableFunc(sorted, func(a, b Mount) int { return cmp.Compare(depth(a.Target), depth(b.Target)) })
	for _, m := range sorted {
		if err := mountVolume(root, m); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	return nil
}

func depth(path string) int { return strings.Count(filepath.Clean("/"+path), "/") }

func mountVolume(root string, m Mount) error {
	target, err := mountPoint(root, m.Target, m.Source)
	if err != nil {
		return err
	}
	if err := bind(m.Source, target, unix.MS_REC); err != nil {
		return err
	}
	if m.ReadOnly {
		return remountReadOnly(target, m.Recursive)
	}
	return nil
}

// mountPoint is where target lies on the host; it is made, of the kind that source is, if it does not exist. Symbolic
// links in the container are followed inside the container.
func mountPoint(root, target, source string) (string, error) {
	path, err := securejoin.SecureJoin(root, target)
	if err != nil {
		return "", fmt.Errorf("find the mount point: %w", err)
	}
	info, err := os.Stat(source)
	if err != nil {
		return "", fmt.Errorf("find what to mount: %w", err)
	}
	if info.IsDir() {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return "", fmt.Errorf("make the mount point: %w", err)
		}
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make the mount point: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY|unix.O_NONBLOCK, 0o644)
	if err != nil && !errors.Is(err, unix.ENXIO) { // ENXIO: a socket is there, and will do
		return "", fmt.Errorf("make the mount point: %w", err)
	}
	if err == nil {
		_ = file.Close()
	}
	return path, nil
}

func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("bind %s: %w", source, err)
	}
	return nil
}

// remountReadOnly makes the mount at target read-only, and with recursive those below it too.
func remountReadOnly(target string, recursive bool) error {
	flags := uint(unix.AT_SYMLINK_NOFOLLOW)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, flags, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

func mountTmpfs(target, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make a mount point: %w", err)
	}
	var flags uintptr = unix.MS_NOSUID | unix.MS_NODEV
	if rest, ok := strings.CutSuffix(options, ",ro"); ok {
		options, flags = rest, flags|unix.MS_RDONLY
	}
	if err := unix.Mount("tmpfs", target, "tmpfs", flags, options); err != nil {
		return fmt.Errorf("mount a tmpfs at %s: %w", target, err)
	}
	return nil
}

// restrict hides and protects the paths that the kubelet names, and makes the root read-only if asked to.
func restrict(root string, spec Spec) error {
	for _, path := range spec.ReadOnly {
		if err := protect(root, path); err != nil {
			return err
		}
	}
	for _, path := range spec.Masked {
		if err := mask(root, path); err != nil {
			return err
		}
	}
	if spec.Root.ReadOnly {
		return remountReadOnly(root, false)
	}
	return nil
}

func protect(root, path string) error {
	target := filepath.Join(root, path)
	if _, err := os.Lstat(target); err != nil {
		return nil // nothing to protect
	}
	if err := bind(target, target, unix.MS_REC); err != nil {
		return err
	}
	return remountReadOnly(target, true)
}

func mask(root, path string) error {
	target := filepath.Join(root, path)
	info, err := os.Lstat(target)
	if err != nil {
		return nil // nothing to hide
	}
	if info.IsDir() {
		return mountTmpfs(target, "mode=000,ro")
	}
	return bind("/dev/null", target, 0)
}
