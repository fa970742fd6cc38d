package runtime

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// firstRealtime and lastRealtime are SIGRTMIN and SIGRTMAX as programs see them: the C library keeps 32 and 33.
const (
	firstRealtime = 34
	lastRealtime  = 64
)

// stopSignal is the signal that asks a container to end; SIGTERM unless the pod says otherwise.
func stopSignal(s cri.Signal) syscall.Signal {
	name := strings.TrimPrefix(s.String(), "SIGNAL_")
	if offset, ok := strings.CutPrefix(name, "SIGRTMINPLUS"); ok {
		return realtime(firstRealtime, offset, 1)
	}
	if offset, ok := strings.CutPrefix(name, "SIGRTMAXMINUS"); ok {
		return realtime(lastRealtime, offset, -1)
	}
	switch name {
	case "SIGRTMIN":
		return firstRealtime
	case "SIGRTMAX":
		return lastRealtime
	case "SIGCLD":
		return syscall.SIGCHLD
	case "SIGPOLL":
		return syscall.SIGIO
	}
	if number := unix.SignalNum(name); number != 0 {
		return number
	}
	return syscall.SIGTERM
}

func realtime(base int, offset string, sign int) syscall.Signal {
	n, err := strconv.Atoi(offset)
	if err != nil {
		return syscall.SIGTERM
	}
	return syscall.Signal(base + sign*n)
}
