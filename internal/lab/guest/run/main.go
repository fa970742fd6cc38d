// The program run runs a command in a guest that lives as long as the command, to try by hand what works there:
//
//	go run ./internal/lab/guest/run sh -c 'modprobe ip_vs_mh && lsmod'
//
// Its exit code is the command's; with -console, the guest's kernel is heard too. It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

func main() {
	var m guest.Machine
	flag.IntVar(&m.MemoryMB, "memory", 1024, "memory of the guest in MiB")
	console := flag.Bool("console", false, "show what the guest's kernel prints")
	flag.Parse()
	if *console {
		m.Console = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	code, err := run(ctx, m, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		code = 125
	}
	os.Exit(code)
}

// run runs a command in a guest, and returns its exit code.
func run(ctx context.Context, m guest.Machine, args []string) (int, error) {
	g, err := guest.Boot(ctx, m)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	state, err := g.Run(ctx, guest.Command{Args: args, Env: []string{"TERM=dumb"}, Stdout: os.Stdout, Stderr: os.Stderr})
	return state.Code, err
}
