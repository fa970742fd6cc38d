package nginx

import (
	"crypto/tls"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/route"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Entry is where nginx listens and what it may use.
type Entry struct {
	// Addresses are listened on; none: all of both families.
	Addresses           []netip.Addr
	HTTPPort, HTTPSPort uint16
	// Resolvers are name servers for ExternalName Services and servers of auth-url; none: only those with an address can be used.
	Resolvers []netip.AddrPort
	// Workers is the number of worker processes; 0: one for each CPU.
	Workers int
	// Dir is where the files are that the configuration names, Run where nginx makes sockets and temporary files.
	Dir, Run string
	// User is that of the workers, with their group after a space; "": as nginx was built.
	User string
	// Modules is the directory of nginx's dynamic modules; "": stream is linked in.
	Modules string
	// Certificate is shown for hosts without one of their own.
	Certificate *tls.Certificate
}

// Input is all that a configuration is made from.
type Input struct {
	Entry Entry
	Table *route.Table
	// Refused are Ingresses whose directives nginx has refused, and why: their requests are answered 503.
	Refused map[model.Ref]string
}

// Files is a configuration with the files that it names, by their names in Entry.Dir.
type Files map[string]string

// Names of files. ConfigFile is the configuration; GenerationFile, which it includes, has nginx answer with the number of the
// configuration that is in force, at StatusSocket in Entry.Run.
const (
	ConfigFile     = "nginx.conf"
	GenerationFile = "generation.conf"
	StatusSocket   = "status.sock"
)

// Render returns the configuration for a table, and what of it nginx cannot do, for each Ingress. It is pure.
func Render(in Input) (Files, []route.Problem) {
	r := &renderer{in: in, files: Files{}, groups: map[string]int{}, numbers: map[string]int{}, said: map[string]bool{}}
	r.http = r.global()
	servers := r.servers()
	var b strings.Builder
	write(&b, r.top(), 0)
	write(&b, []directive{block("http", nil, append(append(r.http, servers...), r.status())...)}, 0)
	if stream := r.stream(); stream != nil {
		write(&b, []directive{block("stream", nil, stream...)}, 0)
	}
	r.file(ConfigFile, b.String())
	return r.files, r.problems
}

// renderer is one run of Render.
type renderer struct {
	in    Input
	files Files
	// http are directives of the http block so far; inner are locations that those of the server at hand need besides.
	http, inner []directive
	groups      map[string]int // upstreams and directives that are in http once, and where
	numbers     map[string]int
	problems    []route.Problem
	said        map[string]bool
}

// number returns a small number for a text, the same one for the same text.
func (r *renderer) number(text string) int {
	n, ok := r.numbers[text]
	if !ok {
		n = len(r.numbers)
		r.numbers[text] = n
	}
	return n
}

// once adds a directive to the http block unless it is there.
func (r *renderer) once(e directive) {
	var b strings.Builder
	write(&b, []directive{e}, 0)
	r.add(b.String(), e)
}

// add adds a directive to the http block under a name of its own.
func (r *renderer) add(name string, e directive) {
	if _, ok := r.groups[name]; !ok {
		r.groups[name] = len(r.http)
		r.http = append(r.http, e)
	}
}

// path returns where a file of Files is.
func (r *renderer) path(name string) string { return filepath.Join(r.in.Entry.Dir, name) }

// run returns where a socket or a directory is that nginx makes.
func (r *renderer) run(name string) string { return filepath.Join(r.in.Entry.Run, name) }

func (r *renderer) file(name, content string) { r.files[name] = content }

// problem tells once of an annotation of an Ingress that nginx cannot do; "": no annotation.
func (r *renderer) problem(of model.Ref, annotation, message string) {
	if annotation != "" {
		message = "nginx.ingress.kubernetes.io/" + annotation + ": " + message
	}
	message += " (with --engine=native it would work)"
	if id := of.String() + " " + message; !r.said[id] {
		r.said[id] = true
		r.problems = append(r.problems, route.Problem{Kind: "Ingress", Ref: of, Reason: "EngineCannot", Message: message})
	}
}

// top renders what stands outside of all blocks.
func (r *renderer) top() []directive {
	workers := key("auto")
	if r.in.Entry.Workers > 0 {
		workers = number(r.in.Entry.Workers)
	}
	list := []directive{
		d("worker_processes", workers), d("worker_shutdown_timeout", key("240s")),
		d("pid", plain(r.run("nginx.pid"))), d("error_log", key("stderr"), key("warn")), d("pcre_jit", key("on")),
	}
	if r.in.Entry.User != "" {
		list = append(list, d("user", key(r.in.Entry.User)))
	}
	if r.in.Entry.Modules != "" {
		list = append([]directive{d("load_module", plain(filepath.Join(r.in.Entry.Modules, "ngx_stream_module.so")))}, list...)
	}
	return append(list, block("events", nil, d("worker_connections", number(16384)), d("multi_accept", key("on"))))
}

// status renders the server that tells which configuration is in force.
func (r *renderer) status() directive {
	return block("server", nil,
		d("listen", plain("unix:"+r.run(StatusSocket))), d("access_log", key("off")),
		block("location", []arg{key("="), key("/generation")}, d("include", plain(r.path(GenerationFile)))),
		block("location", []arg{key("="), key("/connections")}, d("stub_status")))
}

// hosts returns the table's hosts in the order of their names, the default one first.
func (r *renderer) hosts() []*route.Host {
	list := slices.Collect(r.in.Table.Hosts())
	slices.SortFunc(list, func(a, b *route.Host) int { return strings.Compare(a.Name, b.Name) })
	return append([]*route.Host{r.in.Table.Default}, list...)
}
