// Command switchyard-standalone is a Kubernetes cluster of its own on one Linux machine.
package main

import (
	"os"

	"github.com/switchyard-net/switchyard/standalone/internal/cli"
	"github.com/switchyard-net/switchyard/standalone/internal/runtime"
)

func main() {
	// A container's first process is this program again: it becomes the container's own.
	if len(os.Args) > 1 && os.Args[1] == runtime.ShimCommand {
		runtime.ShimMain()
	}
	os.Exit(cli.Main(os.Args[1:]))
}
