// Package election runs work in one process at a time, chosen by a Lease in the cluster.
//
// What it adds to client-go's leader election is the end of a term: the Lease is given back only after the work has
// ended, so that the next leader never starts while the last one still writes; and a process that lost the Lease
// stands by again instead of exiting.
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Config says which Lease to hold, and the times of the election. They are those of kube-controller-manager.
type Config struct {
	// Namespace and Name are the Lease's.
	Namespace, Name string
	// LeaseDuration is how long others wait for a leader that has fallen silent.
	LeaseDuration time.Duration
	// RenewDeadline is how long a leader that cannot renew the Lease goes on. Shorter than LeaseDuration, so that it
	// has stopped before another starts.
	RenewDeadline time.Duration
	// RetryPeriod is the time between two tries to take or renew the Lease.
	RetryPeriod time.Duration
}

// Defaults returns the Lease kube-system/switchyard-controller with kube-controller-manager's times.
func Defaults() Config {
	return Config{
		Namespace:     metav1.NamespaceSystem,
		Name:          "switchyard-controller",
		LeaseDuration: 15 * time.Second,
		RenewDeadline: 10 * time.Second,
		RetryPeriod:   2 * time.Second,
	}
}

// Validate returns one error for each setting that cannot work, joined. Each names the flag and the way out.
func (c Config) Validate() error {
	var errs []error
	if c.Namespace == "" || c.Name == "" {
		errs = append(errs, errors.New("--leader-elect-resource-namespace and --leader-elect-resource-name must not be "+
			"empty; leave them out for kube-system and switchyard-controller"))
	}
	if c.LeaseDuration <= c.RenewDeadline {
		errs = append(errs, fmt.Errorf("--leader-elect-lease-duration=%s: must be longer than "+
			"--leader-elect-renew-deadline (%s), or two leaders could be at work; 15s and 10s are the defaults",
			c.LeaseDuration, c.RenewDeadline))
	}
	if shortest := time.Duration(leaderelection.JitterFactor * float64(c.RetryPeriod)); c.RenewDeadline <= shortest {
		errs = append(errs, fmt.Errorf("--leader-elect-renew-deadline=%s: must be longer than %.1f times "+
			"--leader-elect-retry-period (%s), or no renewal could be tried twice; 10s and 2s are the defaults",
			c.RenewDeadline, leaderelection.JitterFactor, c.RetryPeriod))
	}
	if c.RetryPeriod <= 0 {
		errs = append(errs, fmt.Errorf("--leader-elect-retry-period=%s: must be longer than nothing; 2s is the default",
			c.RetryPeriod))
	}
	return errors.Join(errs...)
}

// Deps is what an Elector needs from outside; all of it is required.
type Deps struct {
	// Client reads and writes the Lease. It should not share a rate limit with the work, which could starve renewals.
	Client kubernetes.Interface
	// Identity is this process's name among the candidates; no two may have the same.
	Identity string
	// Log gets the changes of leader.
	Log *slog.Logger
	// Leading is told of the start (true) and the end (false) of each term of this process; may be nil.
	Leading func(bool)
}

// Elector stands for leader.
type Elector struct {
	cfg     Config
	deps    Deps
	leading atomic.Bool
	// elector is client-go's of the term under way, nil before the first.
	elector atomic.Pointer[leaderelection.LeaderElector]
}

// New returns an Elector that Run lets stand.
func New(cfg Config, deps Deps) (*Elector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the leader election: %w", err)
	}
	return &Elector{cfg: cfg, deps: deps}, nil
}

// Leading reports whether this process leads.
func (e *Elector) Leading() bool { return e.leading.Load() }

// Leader returns the identity of the leader as far as this process knows, empty if it knows of none.
func (e *Elector) Leader() string {
	if elector := e.elector.Load(); elector != nil {
		return elector.GetLeader()
	}
	return ""
}

// Check returns an error if this process leads with a Lease that ran out more than tolerance ago: it hangs and should
// be restarted.
func (e *Elector) Check(tolerance time.Duration) error {
	if elector := e.elector.Load(); elector != nil {
		return elector.Check(tolerance)
	}
	return nil
}

// Run stands for leader until ctx ends, and runs work whenever this process leads. The context of work ends with ctx
// or with the Lease, whichever is first; work must return soon after, and until it has, the Lease is not given back.
// Run returns nil after ctx ended, and else what work returned: work that ends by itself ends Run.
func (e *Elector) Run(ctx context.Context, work func(context.Context) error) error {
	for ctx.Err() == nil {
		ended, err := e.term(ctx, work)
		if ended || err != nil {
			return err
		}
		if ctx.Err() == nil {
			e.deps.Log.Warn("lost the lease: standing by", "lease", e.lease())
		}
	}
	return nil
}

// The states of a term; only idle changes, once, to one of the others.
const (
	idle int32 = iota
	working
	over
)

// term stands for leader once, and works if elected. ended means that work came to its end by itself.
func (e *Elector) term(ctx context.Context, work func(context.Context) error) (ended bool, err error) {
	// The Lease outlives ctx by what work takes to stop.
	logged := klog.NewContext(context.WithoutCancel(ctx), logr.FromSlogHandler(e.deps.Log.Handler()))
	held, letGo := context.WithCancel(logged)
	defer letGo()
	var state atomic.Int32
	stopWaiting := context.AfterFunc(ctx, func() {
		if state.CompareAndSwap(idle, over) {
			letGo()
		}
	})
	defer stopWaiting()
	done := make(chan error, 1)
	elector, err := e.newElector(func(lease context.Context) {
		if !state.CompareAndSwap(idle, working) {
			return
		}
		term, cancel := context.WithCancel(lease)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		e.lead(true)
		err := work(term)
		e.lead(false)
		ended = term.Err() == nil
		done <- err
		letGo()
	})
	if err != nil {
		return false, err
	}
	e.elector.Store(elector)
	elector.Run(held)
	if !state.CompareAndSwap(idle, over) && state.Load() == working {
		err = <-done // also if the Lease is lost: nothing of this term outlives it
	}
	if ctx.Err() != nil || ended || err != nil {
		e.giveBack(logged)
	}
	return ended, err
}

// giveBack empties the Lease if this process still holds it, so that the next leader need not wait for it to run out.
// client-go can do so itself (ReleaseOnCancel), but after a Lease is lost it tries to before it ends the work, for up to
// RenewDeadline more, which would be two leaders at once.
func (e *Elector) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.RenewDeadline)
	defer cancel()
	lock := e.lock()
	record, _, err := lock.Get(ctx)
	if err == nil && record.HolderIdentity == e.deps.Identity {
		now := metav1.Now()
		err = lock.Update(ctx, resourcelock.LeaderElectionRecord{
			LeaderTransitions:    record.LeaderTransitions,
			LeaseDurationSeconds: 1,
			RenewTime:            now,
			AcquireTime:          now,
		})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		e.deps.Log.Warn("the lease was not given back: the next leader waits for it to run out", "lease", e.lease(), "err", err)
	}
}

func (e *Elector) lead(leading bool) {
	e.leading.Store(leading)
	if e.deps.Leading != nil {
		e.deps.Leading(leading)
	}
	if leading {
		e.deps.Log.Info("leading", "lease", e.lease(), "identity", e.deps.Identity)
	}
}

func (e *Elector) lease() string { return e.cfg.Namespace + "/" + e.cfg.Name }

func (e *Elector) lock() *resourcelock.LeaseLock {
	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.cfg.Namespace, Name: e.cfg.Name},
		Client:     e.deps.Client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.deps.Identity},
	}
}

func (e *Elector) newElector(started func(context.Context)) (*leaderelection.LeaderElector, error) {
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          e.lock(),
		LeaseDuration: e.cfg.LeaseDuration,
		RenewDeadline: e.cfg.RenewDeadline,
		RetryPeriod:   e.cfg.RetryPeriod,
		Name:          e.cfg.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: started,
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != e.deps.Identity {
					e.deps.Log.Info("standing by", "lease", e.lease(), "leader", identity)
				}
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("stand for the lease %s: %w", e.lease(), err)
	}
	return elector, nil
}
