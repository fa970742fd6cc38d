// Ingress measures the native engine beside Debian's nginx and HAProxy, each on one core with one thread: `make bench-ingress`.
//
// The proxy has the first core; the client (wrk, h2load) and the backend (nginx) share the second. Keep-alive to the backend, HTTP/1.1
// and the same forwarding headers everywhere, access logs off everywhere. All traffic stays on loopback. The table goes to standard
// output, progress to standard error, the values to bench/out/ingress.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	rounds int
	length time.Duration
	out    string
	only   string
	// agent has this program run the native engine, for so many Ingresses.
	agent                    bool
	ingresses                int
	http, https, ask, behind string
	profile                  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each system has its turn with each load")
	flag.DurationVar(&o.length, "length", 2*time.Second, "how long a turn is")
	flag.StringVar(&o.out, "out", filepath.Join("bench", "out"), "directory of the results")
	flag.StringVar(&o.only, "only", "", "only the load of that name, or those whose name begins so, or \"changes\"")
	flag.BoolVar(&o.agent, "agent", false, "what the benchmark starts itself with: the native engine")
	flag.IntVar(&o.ingresses, "ingresses", 1, "with -agent: how many Ingresses there are")
	flag.StringVar(&o.http, "http", "", "with -agent: address without TLS")
	flag.StringVar(&o.https, "https", "", "with -agent: address with TLS")
	flag.StringVar(&o.ask, "ask", "", "with -agent: address that changes are asked for at")
	flag.StringVar(&o.behind, "behind", "", "with -agent: address of the backend")
	flag.StringVar(&o.profile, "profile", "", "with -agent: file for a profile of the processor")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-ingress:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.agent {
		return agent(ctx, o)
	}
	if runtime.NumCPU() < 2 {
		return errors.New("two cores are needed: one for the proxy, one for the client and the backend")
	}
	var missing []string
	for _, program := range []string{"nginx", "haproxy", "wrk", "h2load", "taskset"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if missing != nil {
		return fmt.Errorf("%s needed: apt-get install nginx-light haproxy wrk nghttp2-client util-linux", strings.Join(missing, ", "))
	}
	return bench(ctx, o)
}

func bench(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "switchyard-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	back, err := startBackend(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Stop()) }()
	r := &results{}
	for _, ingresses := range []int{1, 10000} {
		if err = r.measure(ctx, o, dir, ingresses); err != nil {
			break
		}
	}
	// What was measured before something went wrong is of use, too.
	return errors.Join(err, publish(context.WithoutCancel(ctx), o, r))
}
