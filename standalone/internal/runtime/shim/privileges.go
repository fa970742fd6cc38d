package shim

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// dropPrivileges makes the calling thread the container's user with no capabilities but the allowed ones.
func dropPrivileges(spec Spec, who identity) error {
	if err := LimitThread(spec.Capabilities, spec.NoNewPrivs); err != nil {
		return err
	}
	if err := unix.Setgroups(who.groups); err != nil {
		return fmt.Errorf("set groups %v: %w", who.groups, err)
	}
	if err := unix.Setresgid(who.gid, who.gid, who.gid); err != nil {
		return fmt.Errorf("become group %d: %w", who.gid, err)
	}
	if err := unix.Setresuid(who.uid, who.uid, who.uid); err != nil {
		return fmt.Errorf("become user %d: %w", who.uid, err)
	}
	return nil
}

// LimitThread removes from the calling thread's bounding set what allowed does not hold, so that no program that the
// thread or its children execute can have it, and forbids new privileges if asked to. The caller must have locked the
// thread, and must not give it back.
func LimitThread(allowed uint64, noNewPrivs bool) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if allowed&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := clearInheritable(); err != nil {
		return err
	}
	if noNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forbid new privileges: %w", err)
		}
	}
	return nil
}

// clearInheritable keeps the bounding set decisive: it does not limit what a file's inheritable set grants.
func clearInheritable() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("clear inheritable capabilities: %w", err)
	}
	return nil
}
