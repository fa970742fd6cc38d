package route

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Config is what holds for a table as a whole. The zero value is a working configuration.
type Config struct {
	// Node is the name of the node that the entry runs on, for hints of topology; "": none counts.
	Node string
	// ConfigMap holds the settings of the entry (settings.ParseGlobal); zero: ingress-nginx's defaults count.
	ConfigMap model.Ref
	// TCP and UDP are the ConfigMaps of ingress-nginx's tcp-services and udp-services; zero: none.
	TCP, UDP model.Ref
	// DefaultBackend is the Service, at its first port, that gets what no rule takes; zero: 404.
	DefaultBackend model.Ref
	// DefaultCertificate is the Secret of the certificate for hosts without one; zero: the engine's own.
	DefaultCertificate model.Ref
	// Reserved are ports of the entry itself, which no TCP or UDP service may have.
	Reserved []uint16
	// NoPassthrough leaves annotation ssl-passthrough without effect, and says so.
	NoPassthrough bool
	// Now tells the time, for certificates that have expired; nil: time.Now.
	Now func() time.Time
}

// Builder makes tables of snapshots, each from the one before. It is used by one goroutine; the tables are immutable.
type Builder struct {
	config Config
	snap   *model.Snapshot
	global *settings.Global
	zone   string

	states   map[model.Ref]*state
	hosts    map[string]*hostState // by name; "": the default host, which is always there
	backends backendSet
	// entry is the state that the default backend of the entry is taken for; rootPath has the pattern of "/".
	entry        *state
	entryBackend *Backend
	streamState  *state
	rootPath     pathState
	numbers      map[model.Ref]map[numberKey]uint64
	lastNo       uint64
	// secretUsers and configMapUsers are the Ingresses that name an object.
	secretUsers, configMapUsers map[model.Ref]map[model.Ref]struct{}
	claims                      map[string][]claim // by name: who wants it beside a host of its own
	patternHosts                map[string]struct{}
	problems                    map[any][]Problem // by what they were found in

	table *Table
}

// numberKey is what, of one Ingress, keeps its Location.Number.
type numberKey struct {
	host, path       string
	exact, isDefault bool
}

// New returns a builder without a table.
func New(config Config) *Builder {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Builder{
		config: config, states: map[model.Ref]*state{}, hosts: map[string]*hostState{"": {}}, numbers: map[model.Ref]map[numberKey]uint64{},
		backends:    newBackendSet(),
		secretUsers: map[model.Ref]map[model.Ref]struct{}{}, configMapUsers: map[model.Ref]map[model.Ref]struct{}{},
		claims: map[string][]claim{}, patternHosts: map[string]struct{}{}, problems: map[any][]Problem{},
		table: &Table{},
	}
}

// Build returns the table of a snapshot, and all that is wrong in it.
func Build(s *model.Snapshot, config Config) (*Table, []Problem) {
	return New(config).Update(s, model.Changes{All: true})
}

// dirty is what one update has to make anew.
type dirty struct {
	ingresses map[model.Ref]struct{}
	hosts     map[string]struct{}
	names     map[string]struct{} // of hosts, aliases and redirects
	patterns  bool
	pools     map[*backendState]struct{}
}

// Update returns the table of a snapshot, which differs from that of the last call in what changes names, and all that is wrong in
// it, in the order of kind and name. The snapshot holds only the Ingresses that are to be served. Its cost is that of the changed
// objects, and of the hosts that they belong to.
func (b *Builder) Update(s *model.Snapshot, changes model.Changes) (*Table, []Problem) {
	changes.All = changes.All || b.snap == nil
	b.snap = s
	d := &dirty{
		ingresses: map[model.Ref]struct{}{}, hosts: map[string]struct{}{}, names: map[string]struct{}{},
		pools: map[*backendState]struct{}{},
	}
	next := *b.table
	b.collect(changes, d)
	if b.globalChanged(changes) {
		b.readGlobal()
		b.takeEntryBackend(d)
		b.allIngresses(d)
		d.hosts[""] = struct{}{}
	}
	next.Global = b.global
	if changes.All || b.usesSecret(changes, b.config.DefaultCertificate) {
		next.Certificate = b.defaultCertificate()
	}
	for ref := range d.ingresses {
		b.replace(ref, d)
	}
	for name := range d.hosts {
		b.rebuildHost(name, d)
	}
	next.Default = b.hosts[""].host
	b.rename(&next, d)
	if changes.All || usesConfigMap(changes, b.config.TCP) || usesConfigMap(changes, b.config.UDP) {
		next.Streams = b.streams(d)
	}
	b.fill(&next, d)
	b.table = &next
	return b.table, b.allProblems()
}

// collect finds the Ingresses and pools that changes concern.
func (b *Builder) collect(changes model.Changes, d *dirty) {
	zone := ""
	if node, ok := b.snap.Nodes.Get(b.config.Node); ok {
		zone = node.Zone
	}
	if changes.All || zone != b.zone {
		b.zone = zone
		for _, state := range b.backends.all {
			d.pools[state] = struct{}{}
		}
	}
	if changes.All {
		b.allIngresses(d)
		d.hosts[""] = struct{}{}
		return
	}
	maps.Copy(d.ingresses, changes.Ingresses)
	for ref := range changes.Secrets {
		maps.Copy(d.ingresses, b.secretUsers[ref])
	}
	for ref := range changes.ConfigMaps {
		maps.Copy(d.ingresses, b.configMapUsers[ref])
	}
	for ref := range changes.Services {
		for _, state := range b.backends.byService[ref] {
			d.pools[state] = struct{}{}
		}
	}
}

func (b *Builder) allIngresses(d *dirty) {
	for ref := range b.snap.Ingresses.All() {
		d.ingresses[ref] = struct{}{}
	}
	for ref := range b.states {
		d.ingresses[ref] = struct{}{}
	}
}

// globalChanged reports whether the ConfigMap of the entry, or one that it names, has changed.
func (b *Builder) globalChanged(changes model.Changes) bool {
	if changes.All || b.global == nil {
		return true
	}
	for _, ref := range append(b.globalConfigMaps(), b.config.ConfigMap) {
		if usesConfigMap(changes, ref) {
			return true
		}
	}
	return false
}

// globalConfigMaps returns the ConfigMaps that the ConfigMap of the entry names.
func (b *Builder) globalConfigMaps() []model.Ref {
	m, ok := b.snap.ConfigMaps.Get(b.config.ConfigMap)
	if !ok {
		return nil
	}
	return settings.GlobalReferences(m)
}

func usesConfigMap(changes model.Changes, ref model.Ref) bool {
	_, ok := changes.ConfigMaps[ref]
	return ok && ref != model.Ref{}
}

func (b *Builder) usesSecret(changes model.Changes, ref model.Ref) bool {
	_, ok := changes.Secrets[ref]
	return ok && ref != model.Ref{}
}

func (b *Builder) readGlobal() {
	b.global = settings.Default()
	delete(b.problems, "global")
	ref := b.config.ConfigMap
	if ref == (model.Ref{}) {
		return
	}
	m, ok := b.snap.ConfigMaps.Get(ref)
	if !ok {
		return
	}
	if m.Problem != "" {
		b.problems["global"] = []Problem{{Kind: "ConfigMap", Ref: ref, Reason: settings.ReasonReference, Message: m.Problem + "; the defaults count"}}
		return
	}
	global, problems := settings.ParseGlobal(ref, m.Data, b.configMap)
	b.global = global
	for _, p := range problems {
		b.problems["global"] = append(b.problems["global"], Problem{Kind: "ConfigMap", Ref: ref, Reason: p.Reason, Message: p.Field + ": " + p.Message})
	}
}

// takeEntryBackend makes the Backend of what no rule takes, with the settings of the entry.
func (b *Builder) takeEntryBackend(d *dirty) {
	old := b.entry
	b.entry = &state{}
	if b.config.DefaultBackend != (model.Ref{}) {
		b.entryBackend = b.take(b.entry, Key{Service: b.config.DefaultBackend}, &b.global.Defaults.Upstream, d)
	}
	b.release(old, d)
}

func (b *Builder) configMap(ref model.Ref) *model.ConfigMap {
	m, _ := b.snap.ConfigMaps.Get(ref)
	return m
}

// replace makes an Ingress anew, or takes it out if it is gone.
func (b *Builder) replace(ref model.Ref, d *dirty) {
	old := b.states[ref]
	if old != nil {
		for _, name := range old.hosts {
			b.hosts[name].remove(old)
			d.hosts[name] = struct{}{}
		}
		use(b.secretUsers, old.secrets, ref, false)
		use(b.configMapUsers, old.configMaps, ref, false)
		delete(b.states, ref)
		delete(b.problems, ref)
	}
	ing, ok := b.snap.Ingresses.Get(ref)
	if !ok {
		b.release(old, d)
		delete(b.numbers, ref)
		return
	}
	s := b.compile(ing, d)
	b.release(old, d) // after the new one has taken its own, so that the pools of both stay
	b.states[ref] = s
	use(b.secretUsers, s.secrets, ref, true)
	use(b.configMapUsers, s.configMaps, ref, true)
	for _, name := range s.hosts {
		if b.hosts[name] == nil {
			b.hosts[name] = &hostState{}
		}
		b.hosts[name].insert(s)
		d.hosts[name] = struct{}{}
	}
	if len(s.problems) > 0 {
		b.problems[ref] = s.problems
	}
}

// use records who names objects, or no longer does.
func use(users map[model.Ref]map[model.Ref]struct{}, objects []model.Ref, by model.Ref, uses bool) {
	for _, ref := range objects {
		switch {
		case uses && users[ref] == nil:
			users[ref] = map[model.Ref]struct{}{by: {}}
		case uses:
			users[ref][by] = struct{}{}
		default:
			delete(users[ref], by)
			if len(users[ref]) == 0 {
				delete(users, ref)
			}
		}
	}
}

// number returns what identifies a location as long as its Ingress lives.
func (b *Builder) number(ingress model.Ref, k numberKey) uint64 {
	of := b.numbers[ingress]
	if of == nil {
		of = map[numberKey]uint64{}
		b.numbers[ingress] = of
	}
	if of[k] == 0 {
		b.lastNo++
		of[k] = b.lastNo
	}
	return of[k]
}

// allProblems returns everything that is wrong, in order and each once.
func (b *Builder) allProblems() []Problem {
	var out []Problem
	for _, list := range b.problems {
		out = append(out, list...)
	}
	slices.SortFunc(out, func(x, y Problem) int {
		for _, c := range []int{
			strings.Compare(x.Kind, y.Kind), strings.Compare(x.Ref.Namespace, y.Ref.Namespace), strings.Compare(x.Ref.Name, y.Ref.Name),
			strings.Compare(x.Reason, y.Reason), strings.Compare(x.Message, y.Message),
		} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return slices.Compact(out)
}
