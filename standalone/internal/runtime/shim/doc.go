// Package shim is the first program of a container: the node's own binary, executed again between fork and the
// container's command.
//
// The runtime starts it in the pod's network, UTS and IPC namespaces, in a mount namespace of its own and, as a rule, as
// the first process of a PID namespace. It reads a Spec from SpecFD, builds the container's file system, leaves the
// host's, gives up privileges and executes the command. What goes wrong is written to ReportFD, which the exec closes:
// end of file without an Error there means that the command runs.
//
// It runs in a process of its own because a mount of /proc shows the PID namespace of the process that mounts it.
package shim
