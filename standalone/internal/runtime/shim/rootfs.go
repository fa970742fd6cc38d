package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// buildRoot mounts the container's file system in the shim's own mount namespace and makes it the root. Nothing of it
// is seen outside, and it is gone with the container's last process.
func buildRoot(spec Spec, warn func(error)) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	root := spec.Root.Merged
	steps := []func() error{
		func() error { return mountRoot(spec.Root, warn) },
		func() error { return mountHostView(spec.Root, warn) },
		func() error { return mountKernel(spec) },
		func() error { return mountDev(spec, warn) },
		func() error { return mountVolumes(root, spec.Mounts) },
		func() error { return restrict(root, spec) },
		func() error { return pivot(root) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// mountRoot mounts the container's root. Some file systems, an overlay among them, cannot be the upper layer: then what
// the container writes is kept in memory.
func mountRoot(r Root, warn func(error)) error {
	err := mountOverlay(r)
	if err == nil {
		return nil
	}
	if err := mountTmpfs(filepath.Dir(r.Upper), "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{r.Upper, r.Work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make a layer in memory: %w", err)
		}
	}
	if again := mountOverlay(r); again != nil {
		return errors.Join(err, again)
	}
	warn(fmt.Errorf("what the container writes is kept in memory, as the disk cannot hold it: %w", err))
	return nil
}

// mountOverlay puts the container's own layer over the lower directory. "volatile" (Linux 5.10) spares the sync of the
// whole disk that an unmount costs otherwise; the layer is thrown away anyway.
func mountOverlay(r Root) error {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", escape(r.Lower), escape(r.Upper), escape(r.Work))
	err := unix.Mount("overlay", r.Merged, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", r.Merged, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mount an overlay of %s (upper layer %s): %w", r.Lower, r.Upper, err)
	}
	return nil
}

// escape protects what separates options and layers.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}

// mountHostView completes a view of the host's /: its other file systems, an empty /run (sockets of the host's daemons
// are no business of a pod), and nothing in the hidden directories.
func mountHostView(r Root, warn func(error)) error {
	if !r.Host {
		return nil
	}
	submounts, err := hostFileSystems(r)
	if err != nil {
		return err
	}
	for i, source := range submounts {
		if err := mountLayer(r, source, i); err != nil {
			warn(err)
		}
	}
	if err := mountTmpfs(filepath.Join(r.Merged, "run"), "mode=755"); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(r.Merged, "run/lock"), 0o1777); err != nil {
		return fmt.Errorf("make /run/lock: %w", err)
	}
	for _, dir := range r.Hide {
		if _, err := os.Stat(filepath.Join(r.Merged, dir)); err != nil {
			continue // nothing to hide
		}
		if err := mountTmpfs(filepath.Join(r.Merged, dir), "mode=000,ro"); err != nil {
			return err
		}
	}
	return nil
}

// mountLayer shows one further file system of the host at its own place: as an overlay, or read-only where its type
// cannot be a lower layer.
func mountLayer(r Root, source string, n int) error {
	layer := Root{
		Lower: source, Merged: filepath.Join(r.Merged, source),
		Upper: filepath.Join(r.Upper+"-sub", fmt.Sprint(n)), Work: filepath.Join(r.Work+"-sub", fmt.Sprint(n)),
	}
	for _, dir := range []string{layer.Upper, layer.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a layer for %s: %w", source, err)
		}
	}
	if info, err := os.Stat(layer.Merged); err != nil || !info.IsDir() {
		return nil // a file, or hidden by another mount
	}
	if mountOverlay(layer) == nil {
		return nil
	}
	if err := bind(source, layer.Merged, 0); err != nil {
		return err
	}
	return remountReadOnly(layer.Merged, false)
}

// pivot makes root the file system's root and forgets the old one.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter the container's file system: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	// Both roots are at "." now, the old one on top: pivot_root(2), NOTES.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's file system: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter the container's root: %w", err)
	}
	return nil
}
