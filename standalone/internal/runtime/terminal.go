package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// openTerminal opens a pair of pseudo terminals of the devpts instance below dev, in the calling thread's mount namespace.
func openTerminal(dev string) (master, slave *os.File, err error) {
	fd, err := unix.Open(filepath.Join(dev, "ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "terminal")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("unlock the terminal: %w", err), master.Close())
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("number the terminal: %w", err), master.Close())
	}
	name := filepath.Join(dev, "pts", fmt.Sprint(n))
	fd, err = unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the terminal %s: %w", name, err), master.Close())
	}
	return master, os.NewFile(uintptr(fd), name), nil
}

// terminalReader turns the error with which a terminal's last user ends it into the end of the file.
type terminalReader struct{ *os.File }

func newTerminalReader(f *os.File) terminalReader { return terminalReader{f} }

// Read is io.Reader's.
func (t terminalReader) Read(p []byte) (int, error) {
	n, err := t.File.Read(p)
	if errors.Is(err, unix.EIO) || errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// followSize applies a client's window sizes until the channel is closed. It ends early when set fails: the terminal is gone.
func followSize(sizes <-chan remotecommand.TerminalSize, set func(unix.Winsize) error) {
	for size := range sizes {
		if err := set(unix.Winsize{Row: size.Height, Col: size.Width}); err != nil {
			return
		}
	}
}

func setSize(terminal *os.File, size unix.Winsize) error {
	conn, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size) }); err != nil {
		return err
	}
	return failed
}
