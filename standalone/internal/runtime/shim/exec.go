package shim

import (
	"os"
	"os/exec"
	"syscall"
)

// Prepare makes cmd, whose SysProcAttr must be set, a further command in a container that spec describes. The calling
// thread must be in the container's namespaces, start cmd, and end then: it gives up the capabilities that the container
// does not have.
func Prepare(spec Spec, cmd *exec.Cmd) error {
	who, err := lookupUser(spec.User)
	if err != nil {
		return err
	}
	if cmd.Dir, err = enterDir(spec.Dir); err != nil {
		return err
	}
	cmd.Env = completeEnv(spec.Env, who.home)
	if cmd.Path, err = lookPath(spec.Args[0], cmd.Env, cmd.Dir); err != nil {
		return err
	}
	cmd.Args = spec.Args
	credential := &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid)}
	for _, g := range who.groups {
		credential.Groups = append(credential.Groups, uint32(g))
	}
	cmd.SysProcAttr.Credential = credential
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if f, ok := stream.(*os.File); ok {
			if err := giveStreams(who.uid, f); err != nil {
				return err
			}
		}
	}
	return LimitThread(spec.Capabilities, spec.NoNewPrivs)
}
