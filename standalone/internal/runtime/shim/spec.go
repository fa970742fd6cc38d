package shim

// File descriptors that the runtime passes to the shim.
const (
	// SpecFD is the read end of a pipe that holds one JSON Spec.
	SpecFD = 3
	// ReportFD is the write end of a pipe for JSON Reports, one a line. Its read end is open as long as the runtime lives.
	ReportFD = 4
)

// Command is the argument that makes a binary call Main; PauseCommand, as its second one, asks for the first process of
// a PID namespace that several containers share.
const (
	Command      = "container-shim"
	PauseCommand = "pause"
)

// Spec says what one container is. All paths are those of the node's mount namespace unless said otherwise.
type Spec struct {
	Root    Root
	Mounts  []Mount  // in the order in which they are to be made
	Devices []Device // beside the standard ones
	Shm     string   // directory that the pod's containers share as /dev/shm
	Console string   // terminal that becomes /dev/console; empty without one

	Masked   []string // paths in the container that are hidden
	ReadOnly []string // paths in the container that are made read-only

	Args []string
	Env  []string
	Dir  string // in the container; made if it does not exist; "" is /

	User         User
	Capabilities uint64 // bit set of those that the container may ever have
	Privileged   bool   // the host's devices, and nothing hidden
	NoNewPrivs   bool
	OOMScoreAdj  int
}

// Root is the container's file system: an overlay whose lower layer nobody writes to.
type Root struct {
	Lower    string   // "/" or a named directory
	Upper    string   // an empty directory for what the container writes
	Work     string   // an empty directory beside Upper; the directory that holds the two may be mounted over
	Merged   string   // where the two are mounted
	Host     bool     // Lower is the host's /: its other file systems are shown too, and /run is empty
	Hide     []string // directories that the container must not see; only with Host
	ReadOnly bool
}

// Mount is a bind mount of Source at Target, a path in the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	Recursive      bool // ReadOnly holds for the mounts below Source as well
}

// Device is a device node of the host at Path in the container.
type Device struct {
	Source, Path string
}

// User is whom the command runs as.
type User struct {
	Name   string // looked up in the container's /etc/passwd; used instead of UID if set
	UID    int
	GID    int // -1: the primary group that /etc/passwd gives
	Groups []int
	Strict bool // no further groups from the container's /etc/group
}

// Report is one line that the shim writes to ReportFD.
type Report struct {
	Warning string `json:"warning,omitempty"` // the container starts nevertheless
	Error   string `json:"error,omitempty"`   // the shim exits
}
