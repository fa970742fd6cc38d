package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ErrRunning is what Start returns, wrapped, for a cluster that runs already.
var ErrRunning = errors.New("runs already")

// Start clears what an earlier run left, prepares everything on disk and in the kernel, and starts the supervisor as a
// process that outlives this one. It returns as soon as the supervisor runs; see Wait.
func Start(spec *Spec) (Process, error) {
	if running, err := spec.Running(); err != nil || running {
		if err == nil {
			err = fmt.Errorf("the cluster in %s %w: see `switchyard-standalone status`, or stop it with `switchyard-standalone down`",
				spec.DataDir, ErrRunning)
		}
		return Process{}, err
	}
	if err := Clear(spec); err != nil {
		return Process{}, fmt.Errorf("clear the leftovers of an earlier run: %w", err)
	}
	listener, err := listen(spec)
	if err != nil {
		return Process{}, err
	}
	defer listener.Close()
	for _, dir := range []string{spec.Run(), spec.Logs(), spec.Etcd(), spec.PKI()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return Process{}, err
		}
	}
	if err := spec.Save(); err != nil {
		return Process{}, err
	}
	if err := writePKI(spec); err != nil {
		return Process{}, fmt.Errorf("write certificates: %w", err)
	}
	if _, err := newNetwork(spec); err != nil {
		return Process{}, err
	}
	supervisor, err := startSupervisor(spec, listener)
	if err != nil {
		return Process{}, errors.Join(err, Clear(spec))
	}
	return supervisor, nil
}

// listen opens the relay's socket: on the port of the last run if it is free, on any other if not.
func listen(spec *Spec) (*net.TCPListener, error) {
	loopback := net.IPv4(127, 0, 0, 1)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback, Port: spec.Port})
	if err != nil && spec.Port != 0 {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback})
	}
	if err != nil {
		return nil, fmt.Errorf("open a port for the API server on the host's loopback: %w", err)
	}
	spec.Port = listener.Addr().(*net.TCPAddr).Port
	return listener, nil
}

// startSupervisor starts the supervisor in a session of its own, with the relay's socket.
func startSupervisor(spec *Spec, listener *net.TCPListener) (Process, error) {
	socket, err := listener.File()
	if err != nil {
		return Process{}, fmt.Errorf("hand the relay's socket over: %w", err)
	}
	defer socket.Close()
	logFile, err := openLog(filepath.Join(spec.Logs(), supervisorName+".log"))
	if err != nil {
		return Process{}, err
	}
	defer logFile.Close()
	cmd := exec.Command("/proc/self/exe", supervisorArgs(spec.DataDir)...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{socket} // becomes relayFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, fmt.Errorf("start the supervisor: %w", err)
	}
	// The supervisor records itself too; this record closes the gap until it does.
	record := &recorder{file: spec.processesFile()}
	if err := record.started(supervisorName, cmd.Process.Pid); err != nil {
		return Process{}, errors.Join(err, cmd.Process.Kill())
	}
	supervisor := record.processes[0]
	// Collect it if it ends while this process still runs.
	go func() { _ = cmd.Wait() }()
	return supervisor, nil
}

// supervisorArgs is the command line of a supervisor, without the program's name. Clear knows one by it.
func supervisorArgs(dataDir string) []string {
	return []string{"--data-dir", dataDir, "process", supervisorName}
}
