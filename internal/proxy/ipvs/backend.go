package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/conntrack"
	"github.com/switchyard-net/switchyard/internal/kernel/ipset"
	"github.com/switchyard-net/switchyard/internal/kernel/iptables"
	"github.com/switchyard-net/switchyard/internal/kernel/ipvs"
	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config says how the backend works; the zero Config is right on a cluster.
type Config struct {
	// Scheduler is the kernel's name of the scheduler of all virtual servers; empty: DefaultScheduler.
	Scheduler string
	// Timeouts are set at the first Sync; those that are 0 stay as they are.
	Timeouts ipvs.Timeouts
	// StrictARP has the node answer ARP for an address only on the interface that has it, and speak in no other's name
	// (net.ipv4.conf.all.arp_ignore 1, arp_announce 2). Services do not need it: the node never has their addresses.
	StrictARP bool
}

// DefaultScheduler is round robin.
const DefaultScheduler = "rr"

// Schedulers returns the schedulers that Config may name, as ipvsadm(8) explains them.
func Schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq"}
}

// Servers is the IP Virtual Server that the backend writes to: an *ipvs.Conn, or an *ipvs.Fake.
type Servers interface {
	// Run makes changes in order, and goes on after one that the kernel refuses.
	Run(ctx context.Context, changes []ipvs.Change) error
	// Services returns the virtual servers that go by a mark.
	Services(ctx context.Context) ([]ipvs.Service, error)
	// Servers appends the real servers of a virtual server to list.
	Servers(ctx context.Context, k ipvs.Key, list []ipvs.Server) ([]ipvs.Server, error)
	SetTimeouts(ctx context.Context, t ipvs.Timeouts) error
}

// Sets is the ip_set that the backend writes to: an *ipset.Conn, or an *ipset.Fake.
type Sets interface {
	Create(ctx context.Context, s ipset.Set) error
	Destroy(ctx context.Context, s ipset.Set) error
	List(ctx context.Context, s ipset.Set) ([]ipset.Entry, error)
	Add(ctx context.Context, s ipset.Set, list []ipset.Entry) error
	Delete(ctx context.Context, s ipset.Set, list []ipset.Entry) error
}

// Rules is the iptables that the backend writes to: an *iptables.Conn.
type Rules interface {
	// Restore feeds what write writes to one iptables-restore --noflush.
	Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error
	// Save passes on the lines of iptables-save for a table, or with "" for all.
	Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error
	// Stamp returns a fingerprint that differs after others have changed the tables.
	Stamp(ctx context.Context, f model.Family) (iptables.Stamp, error)
}

// Routes is where the backend has marked packets delivered to the node: a *route.Host.
type Routes interface {
	// DeliverMarked has the host take arriving packets with the mark for its own.
	DeliverMarked(f model.Family, mark uint32) (changed bool, err error)
	// DeliverNone undoes that.
	DeliverNone(f model.Family) error
	// Delivered returns the mark that DeliverMarked was called with; 0: it was not.
	Delivered(f model.Family) (mark uint32, err error)
}

// Tracker is the connection tracking of the backend's network namespace: a *conntrack.Table.
type Tracker interface {
	// Marked returns the connections of a family whose mark has all of these bits.
	Marked(f model.Family, mark uint32) ([]conntrack.Connection, error)
}

// Sysctls are the settings of the backend's network namespace: a sysctl.Tree.
type Sysctls interface {
	Int(key string) (int, error)
	SetInt(key string, value int) error
}

// Deps are what the backend works with, all of one network namespace.
type Deps struct {
	Servers Servers
	Sets    Sets
	Rules   Rules
	Routes  Routes
	Tracker Tracker
	Sysctls Sysctls
	Log     *slog.Logger
	// TakeOver, if set, is called in the first Sync, when everything is there but what leads packets to IPVS. It has to
	// take away the rules of other modes; connections that they have translated go on.
	TakeOver func(context.Context) error
}

// Backend is the proxy.Backend of the ipvs mode.
type Backend struct {
	config   Config
	deps     Deps
	families []*family
	// last is the plan that the kernel equals; nil: not known.
	last *plan.Plan
	// tookOver is true once TakeOver was called.
	tookOver bool
	// dismissed is when leaving real servers were looked at last.
	dismissed time.Time
	// patience is the time between two such looks: dismissPatience, but in tests.
	patience time.Duration
	// replies is how long UDP replies are waited for: replyPatience, but in tests.
	replies time.Duration
	// memory is forgetPatience, but in tests, and closed since when no connection of a mode that is left is open.
	memory time.Duration
	closed time.Time
	// prepared is true once the settings of the namespace are as they shall be.
	prepared bool
	// lacking are settings that could not be made.
	lacking []plan.Unsupported
}

// family is what the backend remembers of one family: nothing per endpoint but those that are leaving.
type family struct {
	model model.Family
	sets  []ipset.Set
	ids   *numbers
	ports *affinityPorts
	// counted counts those who ask for shared entries.
	counted map[countedEntry]int
	// servers are the virtual servers that the kernel has, by mark.
	servers map[uint32]*present
	// written is the digest of the rules that the kernel has, and stamp what it says of its tables with them.
	written string
	stamp   iptables.Stamp
	// missing is true where the kernel does not have this family.
	missing bool
}

// present is a virtual server that the kernel has.
type present struct {
	// leaving are real servers that get no new connections and are kept for those they have.
	leaving map[netip.AddrPort]bool
}

// New returns the backend. It touches nothing before the first Sync.
func New(cfg Config, deps Deps) (*Backend, error) {
	if deps.Servers == nil || deps.Sets == nil || deps.Rules == nil || deps.Routes == nil || deps.Tracker == nil || deps.Sysctls == nil || deps.Log == nil {
		return nil, fmt.Errorf("ipvs backend: all of Deps must be set")
	}
	if cfg.Scheduler == "" {
		cfg.Scheduler = DefaultScheduler
	}
	b := &Backend{config: cfg, deps: deps, patience: dismissPatience, replies: replyPatience, memory: forgetPatience}
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		b.families = append(b.families, &family{model: f, sets: familySets(f)})
	}
	return b, nil
}

// Sync makes the kernel equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	var report plan.Report
	var err error
	switch {
	case b.last == nil:
		report, err = b.syncAll(ctx, u.Plan)
	case u.Full || !reflect.DeepEqual(b.last.Node, u.Plan.Node):
		report, err = b.reconcile(ctx, u.Plan)
	default:
		report, err = b.syncChanged(ctx, u.Plan, u.Changed)
	}
	b.last = u.Plan
	if err != nil {
		b.last = nil
	}
	report.Unsupported = b.unsupported(u.Plan)
	return report, err
}

// reconcile compares everything with the kernel. What differs although the plan does not is another program's doing.
func (b *Backend) reconcile(ctx context.Context, p *plan.Plan) (plan.Report, error) {
	same := reflect.DeepEqual(b.last.Node, p.Node) && len(differing(b.last, p)) == 0
	report, err := b.syncAll(ctx, p)
	if same && report.Operations > 0 {
		report.Repaired = report.Operations
		b.deps.Log.Info("undid outside changes of ipvs, ipset, iptables or routing", "operations", report.Repaired)
	}
	return report, err
}

// differing returns the Services that are not the same in two plans.
func differing(a, b *plan.Plan) []model.Ref {
	var changed []model.Ref
	for ref, s := range b.Services.All() {
		if old, _ := a.Services.Get(ref); old != s {
			changed = append(changed, ref)
		}
	}
	for ref := range a.Services.All() {
		if _, kept := b.Services.Get(ref); !kept {
			changed = append(changed, ref)
		}
	}
	return changed
}

// Cleanup removes all that the backend ever made in the kernel, but for the settings of IPVS; it is idempotent.
// Connections through IPVS end with it.
func (b *Backend) Cleanup(ctx context.Context) error {
	b.last, b.prepared = nil, false
	var errs []error
	for _, f := range b.families {
		errs = append(errs, b.cleanup(ctx, f))
	}
	return errors.Join(errs...)
}

// cleanup goes the way that a packet takes, so that none is left half-way.
func (b *Backend) cleanup(ctx context.Context, f *family) error {
	f.missing, f.written = false, ""
	if err := b.removeRules(ctx, f); err != nil {
		return err
	}
	for _, s := range f.sets {
		if err := b.deps.Sets.Destroy(ctx, s); err != nil && !errors.Is(err, ipset.ErrNotExist) && !errors.Is(err, ipset.ErrUnsupported) {
			return err
		}
	}
	mark, err := b.deps.Routes.Delivered(f.model)
	if err != nil {
		return err
	}
	if mark == 0 {
		return nil
	}
	all, err := b.deps.Servers.Services(ctx)
	if err != nil {
		return err
	}
	var changes []ipvs.Change
	for _, s := range all {
		if s.Key.Family == f.model && s.Key.Mark&mark != 0 {
			changes = append(changes, ipvs.Change{Op: ipvs.DeleteService, Service: s})
		}
	}
	if err := b.deps.Servers.Run(ctx, changes); err != nil {
		return err
	}
	return b.deps.Routes.DeliverNone(f.model)
}
