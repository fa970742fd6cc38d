package shim

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountKernel mounts /proc, which shows the shim's PID namespace, and /sys, which shows its network namespace.
func mountKernel(spec Spec) error {
	var sysFlags uintptr = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	if !spec.Privileged {
		sysFlags |= unix.MS_RDONLY
	}
	for _, m := range []struct {
		fsType string
		flags  uintptr
	}{
		{"proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV},
		{"sysfs", sysFlags},
	} {
		target := filepath.Join(spec.Root.Merged, map[string]string{"proc": "proc", "sysfs": "sys"}[m.fsType])
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("make a mount point: %w", err)
		}
		if err := unix.Mount(m.fsType, target, m.fsType, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.fsType, err)
		}
	}
	return nil
}

// mountDev makes /dev: the host's for a privileged container, otherwise the few devices that every program expects.
func mountDev(spec Spec, warn func(error)) error {
	dev := filepath.Join(spec.Root.Merged, "dev")
	if spec.Privileged {
		if err := os.MkdirAll(dev, 0o755); err != nil {
			return fmt.Errorf("make a mount point: %w", err)
		}
		return bind("/dev", dev, unix.MS_REC)
	}
	if err := mountTmpfs(dev, "mode=755,size=65536k"); err != nil {
		return err
	}
	if err := unix.Mount("", dev, "", unix.MS_REMOUNT|unix.MS_NOSUID, "mode=755,size=65536k"); err != nil {
		return fmt.Errorf("allow devices in /dev: %w", err)
	}
	devices := spec.Devices
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		devices = append(devices, Device{Source: "/dev/" + name, Path: "/dev/" + name})
	}
	for _, d := range devices {
		if err := makeDevice(spec.Root.Merged, d); err != nil {
			warn(err)
		}
	}
	return mountDevDirs(spec, dev)
}

// makeDevice copies a device node; where the kernel forbids that, it shows the host's.
func makeDevice(root string, d Device) error {
	var st unix.Stat_t
	if err := unix.Stat(d.Source, &st); err != nil {
		return fmt.Errorf("device %s: %w", d.Source, err)
	}
	target := filepath.Join(root, d.Path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("device %s: %w", d.Path, err)
	}
	if err := unix.Mknod(target, st.Mode, int(st.Rdev)); err == nil {
		return os.Chmod(target, os.FileMode(st.Mode&0o777))
	}
	if _, err := mountPoint(root, d.Path, d.Source); err != nil {
		return err
	}
	return bind(d.Source, target, 0)
}

func mountDevDirs(spec Spec, dev string) error {
	for _, dir := range []string{"pts", "shm", "mqueue"} {
		if err := os.Mkdir(filepath.Join(dev, dir), 0o755); err != nil {
			return fmt.Errorf("make /dev/%s: %w", dir, err)
		}
	}
	pts := filepath.Join(dev, "pts")
	if err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount("mqueue", filepath.Join(dev, "mqueue"), "mqueue", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount /dev/mqueue: %w", err)
	}
	if spec.Shm != "" {
		if err := bind(spec.Shm, filepath.Join(dev, "shm"), 0); err != nil {
			return err
		}
	}
	links := map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	if spec.Console == "" {
		return nil
	}
	return mountVolume(spec.Root.Merged, Mount{Source: spec.Console, Target: "/dev/console"})
}
