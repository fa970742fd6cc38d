// Command switchyard is the Service and Ingress layer of Kubernetes in one program.
package main

import (
	"os"

	"github.com/switchyard-net/switchyard/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
