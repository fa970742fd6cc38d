package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/ingress/selfsigned"
	"github.com/switchyard-net/switchyard/internal/kernel/nginxd"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Config says how nginx is run.
type Config struct {
	// Entry is where it listens. Its Dir, Run, User and Modules are the engine's own to set.
	Entry Entry
	// Pace is the shortest time between two reloads, each of which starts new workers; 0: 1 s.
	Pace time.Duration
	// Patience is how long a configuration may take to be in force; 0: 30 s.
	Patience time.Duration
}

// The defaults of Config.
const (
	defaultPace     = time.Second
	defaultPatience = 30 * time.Second
)

// Options are what a process decides about its nginx.
type Options struct {
	Config
	// Program is the path of nginx, or its name in $PATH; "": nginx. Dir is a directory of its own.
	Program, Dir string
	// Drain bounds how long requests may still take at the end; 0: 30 s.
	Drain time.Duration
	// AccessLog gets the lines of the access log.
	AccessLog io.Writer
}

// Open returns the engine of the system's nginx, which need not run. It makes the directory, and removes what an earlier process
// has left in it. Without resolvers of its own, nginx uses those of /etc/resolv.conf.
func Open(o Options, log *slog.Logger) (*Engine, error) {
	home, err := nginxd.OpenHome(o.Dir)
	if err != nil {
		return nil, err
	}
	server, err := nginxd.New(nginxd.Config{Program: o.Program, Home: home, Stop: o.Drain}, log, o.AccessLog)
	if err != nil {
		return nil, err
	}
	if o.Entry.Certificate == nil {
		if o.Entry.Certificate, err = selfsigned.New(); err != nil {
			return nil, err
		}
	}
	if len(o.Entry.Resolvers) == 0 {
		o.Entry.Resolvers = hostResolvers(log)
	}
	return New(o.Config, Deps{Server: server, Home: home}), nil
}

// hostResolvers returns the name servers of this machine, or of this pod.
func hostResolvers(log *slog.Logger) []netip.AddrPort {
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		log.Warn("no name servers are known, so nginx serves no ExternalName Services", "error", err)
		return nil
	}
	var list []netip.AddrPort
	for _, s := range config.Servers {
		if a, err := netip.ParseAddrPort(net.JoinHostPort(s, config.Port)); err == nil && a.Addr().Zone() == "" {
			list = append(list, a)
		}
	}
	return list
}

// maxRefused is how many Ingresses are left out of one configuration one after the other because nginx refuses their directives.
const maxRefused = 20

// Deps are what an Engine uses.
type Deps struct {
	Server *nginxd.Server
	Home   *nginxd.Home
}

// Engine has nginx carry the requests. It implements the engine of package ingress.
type Engine struct {
	cfg  Config
	deps Deps

	running    atomic.Bool
	generation atomic.Uint64 // of the configuration in force; 0: none yet

	// The rest is of the one goroutine that calls Apply.
	files    Files // of the configuration in force
	reloaded time.Time
}

// New returns an Engine that serves nothing until Apply has been called and Run runs.
func New(cfg Config, deps Deps) *Engine {
	if cfg.Pace == 0 {
		cfg.Pace = defaultPace
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	cfg.Entry.Run, cfg.Entry.User, cfg.Entry.Modules = deps.Home.Run(), deps.Home.User(), deps.Home.Modules()
	return &Engine{cfg: cfg, deps: deps}
}

// Run has nginx run until ctx is done, and finish its requests then. Apply must have been called.
func (e *Engine) Run(ctx context.Context) error {
	e.running.Store(true)
	defer e.running.Store(false)
	return e.deps.Server.Run(ctx)
}

// Ready returns nil while nginx serves by the configuration that was applied last.
func (e *Engine) Ready() error {
	generation := e.generation.Load()
	if generation == 0 {
		return errors.New("nginx has no configuration yet")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	got, err := e.deps.Home.Ask(ctx, StatusSocket, "/generation")
	if err != nil {
		return err
	}
	if want := strconv.FormatUint(generation, 10); got != want {
		return fmt.Errorf("nginx serves by configuration %s, and not yet by %s", got, want)
	}
	return nil
}

// Apply puts a table in force, and returns when nginx serves by it, if it runs. Problems are what nginx cannot do of it, and Ingresses that had to be
// left out because nginx refuses their directives. After an error, what was in force before still is.
func (e *Engine) Apply(ctx context.Context, t *route.Table) ([]route.Problem, error) {
	refused := map[model.Ref]string{}
	for {
		files, problems := Render(e.input(t, refused))
		if maps.Equal(files, e.files) {
			return append(problems, refusals(refused)...), nil
		}
		err := e.check(ctx, files)
		if err == nil {
			return append(problems, refusals(refused)...), e.put(ctx, files)
		}
		of, known := culprit(files[ConfigFile], err)
		if !known || refused[of] != "" || len(refused) == maxRefused || ctx.Err() != nil {
			return problems, err
		}
		refused[of] = err.Error()
	}
}

// input returns what the next configuration is made from. It has a directory of its own.
func (e *Engine) input(t *route.Table, refused map[model.Ref]string) Input {
	entry := e.cfg.Entry
	entry.Dir = e.deps.Home.Current()
	return Input{Entry: entry, Table: t, Refused: refused}
}

// check has nginx read the configuration where it is written first.
func (e *Engine) check(ctx context.Context, files Files) error {
	next, err := e.deps.Home.Write(e.generation.Load()+1, e.located(files))
	if err != nil {
		return err
	}
	return e.deps.Server.Check(ctx, next)
}

// located returns the files of a configuration with the number of its generation.
func (e *Engine) located(files Files) Files {
	all := maps.Clone(files)
	all[GenerationFile] = fmt.Sprintf("return 200 \"%d\";\n", e.generation.Load()+1)
	return all
}

// put puts the configuration that check has written in force.
func (e *Engine) put(ctx context.Context, files Files) error {
	if err := e.pause(ctx); err != nil {
		return err
	}
	if err := e.deps.Home.Use(e.generation.Load() + 1); err != nil {
		return err
	}
	e.generation.Add(1)
	e.files = files
	if !e.running.Load() {
		return nil
	}
	if err := e.deps.Server.Reload(); err != nil && !errors.Is(err, nginxd.ErrNotRunning) {
		return err
	}
	e.reloaded = time.Now()
	return e.await(ctx)
}

// pause keeps reloads apart.
func (e *Engine) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(e.reloaded.Add(e.cfg.Pace))):
		return nil
	}
}

// await waits until nginx answers by the generation.
func (e *Engine) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Patience)
	defer cancel()
	for {
		err := e.Ready()
		if err == nil && e.deps.Server.Settled() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the new configuration is not in force after %s, see nginx's log: %w", e.cfg.Patience, cmp.Or(err, errSettling))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

var errSettling = errors.New("workers of the one before still take connections")

// place finds where nginx says that it does not like a configuration.
var place = regexp.MustCompile(`nginx\.conf:([0-9]+)`)

// culprit returns the Ingress that nginx refuses a configuration for.
func culprit(config string, err error) (model.Ref, bool) {
	m := place.FindStringSubmatch(err.Error())
	if m == nil {
		return model.Ref{}, false
	}
	line, err := strconv.Atoi(m[1])
	if err != nil {
		return model.Ref{}, false
	}
	return blamed(config, line)
}

func refusals(refused map[model.Ref]string) []route.Problem {
	var list []route.Problem
	for of, why := range refused {
		list = append(list, route.Problem{Kind: "Ingress", Ref: of, Reason: "EngineRefused", Denied: true, Message: why + "; its requests are answered 503"})
	}
	return list
}
