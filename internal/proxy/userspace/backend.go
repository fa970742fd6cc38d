package userspace

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/relay"
	"github.com/switchyard-net/switchyard/internal/kernel/route"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// DefaultFirstPort is the default of Config.FirstPort.
const DefaultFirstPort = 10264

// Config says how the proxy works; New fills in the defaults of zero fields.
type Config struct {
	// FirstPort is the first of the three consecutive loopback ports that redirected connections end at, the same as
	// nftables.Handover.FirstPort. It must not change from one process to the next. Default DefaultFirstPort.
	FirstPort uint16
	// Workers is how many threads relay, default GOMAXPROCS.
	Workers int
	// ConnectTimeout is how long an endpoint may take to accept a connection before the next is tried, default 1 s.
	ConnectTimeout time.Duration
	// FlowTimeout is how long a UDP flow may be quiet, default 2 min; a quarter of it for a question and its answer.
	FlowTimeout time.Duration
	// MaxFlows is how many UDP flows there may be at once, default 32768.
	MaxFlows int
	// Drain is how long Close waits for a successor to take over, and without one for established connections to end.
	// Default 10 s; negative: not at all.
	Drain time.Duration
}

func (c Config) withDefaults() Config {
	if c.FirstPort == 0 {
		c.FirstPort = DefaultFirstPort
	}
	if c.Drain == 0 {
		c.Drain = 10 * time.Second
	}
	return c
}

// Rules are the packet rules that hand connections over to the proxy, and answer for the rest of the plan: rejects,
// drops, source ranges. An nftables.Backend whose Config.Handover has the same FirstPort is one.
type Rules interface {
	Sync(ctx context.Context, u plan.Update) (plan.Report, error)
	Cleanup(ctx context.Context) error
	Intact(ctx context.Context) (bool, error)
	Supported(ctx context.Context) error
}

// Deps are what the backend works with.
type Deps struct {
	Rules Rules
	Log   *slog.Logger
	// Probe finds out whether a TCP endpoint answers, until the context's deadline; nil: Probe of this package.
	Probe func(ctx context.Context, endpoint netip.AddrPort) Answer
}

// Backend is the proxy.Backend, proxy.Inspector and proxy.Prober of the userspace mode.
type Backend struct {
	config Config
	deps   Deps
	router *router
	ns     *relay.Namespace

	// What the first Sync opens.
	host      *route.Host
	relay     *relay.Relay
	listeners *listeners
	before    *net.UnixConn // to the process that the listeners were taken over from; nil: none, or it has left
	attached  bool
	// revalidate says that flows of UDP may have to end once the rules are in force.
	revalidate bool

	last   *plan.Plan // that is in force; nil: not known
	closed bool
}

// New returns the backend. It touches nothing before the first Sync, and works in the network namespace of the thread
// that calls New.
func New(cfg Config, deps Deps) (*Backend, error) {
	if deps.Rules == nil || deps.Log == nil {
		return nil, errors.New("userspace backend: Deps.Rules and Deps.Log must be set")
	}
	ns, err := relay.CurrentNamespace()
	if err != nil {
		return nil, err
	}
	b := &Backend{config: cfg.withDefaults(), deps: deps, ns: ns}
	if deps.Probe == nil {
		b.deps.Probe = b.probe
	}
	return b, nil
}

// Sync makes the rules and the proxy equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	if b.closed {
		return plan.Report{}, errors.New("userspace backend: Sync after Close")
	}
	u.Full = u.Full || b.last == nil
	if err := b.start(u.Plan.Node.MasqueradeBit); err != nil {
		return plan.Report{}, err
	}
	diverted, err := b.divert(u)
	if err != nil {
		return plan.Report{}, err
	}
	repaired := diverted && b.last != nil && b.last.Node.MasqueradeBit == u.Plan.Node.MasqueradeBit
	b.last = nil
	changes, udp := b.router.table.add(u)
	b.revalidate = b.revalidate || udp
	if err := b.attach(); err != nil {
		return plan.Report{}, err
	}
	report, err := b.deps.Rules.Sync(ctx, u)
	report.Operations += changes
	if repaired {
		report.Repaired++
	}
	if err != nil {
		return report, err
	}
	report.Operations += b.router.table.remove(u)
	if b.revalidate {
		b.relay.Revalidate()
		b.revalidate = false
	}
	b.last = u.Plan
	report.Unsupported = append(report.Unsupported, b.unsupported(u.Plan)...)
	return report, nil
}

// start opens the listeners and begins to relay, unless that is done.
func (b *Backend) start(answerBit uint8) error {
	if b.relay != nil {
		return nil
	}
	return b.ns.Do(func() (err error) {
		if b.host == nil {
			if b.host, err = route.Open(); err != nil {
				return err
			}
		}
		all, before, err := openListeners(b.config.FirstPort)
		if err != nil {
			return err
		}
		b.router = &router{table: newTable(), affinity: newAffinity(), health: newHealth(b.deps.Probe, b.deps.Log)}
		b.relay, err = relay.New(relay.Config{
			Workers: b.config.Workers, ConnectTimeout: b.config.ConnectTimeout,
			FlowTimeout: b.config.FlowTimeout, MaxFlows: b.config.MaxFlows, AnswerMark: 1 << answerBit,
		}, b.router)
		if err != nil {
			b.relay = nil
			return errors.Join(err, all.close())
		}
		b.listeners, b.before = all, before
		return nil
	})
}

// attach begins to take connections, once it is known where to.
func (b *Backend) attach() error {
	if b.attached {
		return nil
	}
	b.listeners.attach(b.relay, b.before)
	b.before, b.attached = nil, true
	return b.ns.Do(func() error { return b.listeners.offer(b.relay) })
}

// diversion is how packets with the rules' mark come to this host.
func (b *Backend) diversion(p *plan.Plan) route.Diversion {
	return route.Diversion{Mark: 1 << ((p.Node.MasqueradeBit + 1) % 32), Table: int(b.config.FirstPort), Priority: divertPriority}
}

// divertPriority is that of the routing rule: before those that other software is likely to have.
const divertPriority = 97

func (b *Backend) divert(u plan.Update) (changed bool, err error) {
	if !u.Full && b.last != nil {
		return false, nil
	}
	return b.host.Divert(b.diversion(u.Plan))
}

// Intact reports whether nobody changed the rules since the last Sync, as proxy.Inspector describes.
func (b *Backend) Intact(ctx context.Context) (bool, error) {
	if b.last == nil {
		return false, nil
	}
	diverted, err := b.host.Diverts(b.diversion(b.last))
	if err != nil || !diverted {
		return false, err
	}
	return b.deps.Rules.Intact(ctx)
}

// Supported returns nil if the kernel can do what this mode needs, as proxy.Prober describes.
func (b *Backend) Supported(ctx context.Context) error { return b.deps.Rules.Supported(ctx) }

// Cleanup removes the rules and ends all relayed connections. It works without a Sync before, too.
func (b *Backend) Cleanup(ctx context.Context) error {
	b.last = nil
	err := b.deps.Rules.Cleanup(ctx)
	if b.host == nil {
		e := b.ns.Do(func() (err error) {
			b.host, err = route.Open()
			return err
		})
		if e != nil {
			return errors.Join(err, e)
		}
	}
	return errors.Join(err, b.host.Undivert(route.Diversion{Table: int(b.config.FirstPort), Priority: divertPriority}), b.stop())
}

// stop ends the relay, if there is one.
func (b *Backend) stop() error {
	if b.relay == nil {
		return nil
	}
	if b.attached && !b.listeners.taken() {
		for _, l := range b.listeners.all {
			b.relay.Leave(l)
		}
	}
	err := errors.Join(b.listeners.close(), b.relay.Close())
	b.router.health.close()
	if b.before != nil {
		err = errors.Join(err, b.before.Close())
	}
	b.relay, b.listeners, b.router, b.before, b.attached = nil, nil, nil, nil, false
	return err
}

// drainPace is how often Close looks whether it may end.
const drainPace = 20 * time.Millisecond

// Close ends the proxy. While there are connections, and until Config.Drain is up, it goes on taking new ones, unless
// a successor has taken the listeners over; it never waits where there is nothing to wait for. Where there is a successor,
// of this mode or of another that asks for it, it waits until the last connection has ended. Connections that are left at the
// end are cut: they live in this process. Rules stay.
func (b *Backend) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.relay != nil {
		b.drain()
		if left := b.relay.Stats().Connections; left > 0 {
			b.deps.Log.Warn("connections are cut, as the proxy they went through ends", "connections", left, "drained", b.config.Drain)
		}
	}
	err := b.stop()
	if b.host != nil {
		err = errors.Join(err, b.host.Close())
	}
	return errors.Join(err, b.ns.Close())
}

// drain waits as Close says.
func (b *Backend) drain() {
	begin, told := time.Now(), false
	for ; b.relay.Stats().Connections > 0; time.Sleep(drainPace) {
		if time.Since(begin) < b.config.Drain {
			continue
		}
		if b.config.Drain < 0 || !b.listeners.taken() && b.listeners.sinceAsked() > b.config.Drain {
			return
		}
		if !told {
			told = true
			b.deps.Log.Info("the process stays until the last of its connections has ended, as another serves the new ones",
				"connections", b.relay.Stats().Connections)
		}
	}
}

// Stats returns what the proxy has done; the zero Stats before the first Sync.
func (b *Backend) Stats() relay.Stats {
	if b.relay == nil {
		return relay.Stats{}
	}
	return b.relay.Stats()
}
