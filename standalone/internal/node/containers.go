package node

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/switchyard-net/switchyard/standalone/internal/cluster"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime"
)

// newRuntime returns the container runtime of node i, counted from 1.
func newRuntime(spec *cluster.Spec, i int, socket string, log *slog.Logger) (*runtime.Server, error) {
	name := cluster.NodeName(i)
	images, err := runtime.LoadImages(spec.Images)
	if err != nil {
		return nil, err
	}
	server, err := runtime.New(runtime.Config{
		Socket:   socket,
		Root:     filepath.Join(spec.Node(name), "runtime"),
		PodCIDRs: cluster.PodCIDRsOf(i),
		Images:   images,
		// Not the program's path, where an upgrade may have put another version.
		Self: "/proc/self/exe",
		Hide: []string{spec.DataDir},
		Log:  log,
	})
	if err != nil {
		return nil, fmt.Errorf("make the container runtime of %s: %w", name, err)
	}
	return server, nil
}
