package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
)

const (
	// writers is how many statuses are written at the same time.
	writers = 8
	// repeatAfter is when a status that was written is written again, if it still, or again, says something else.
	repeatAfter = 30 * time.Second
	// retryAfter is the pause after a failure.
	retryAfter = 5 * time.Second
	// lookEvery is how often the pods of the entry and their nodes are looked up.
	lookEvery = time.Minute
)

// Deps are what a Writer uses; all of it is required.
type Deps struct {
	Client kubernetes.Interface
	Log    *slog.Logger
}

// Writer writes the status of Ingresses.
type Writer struct {
	cfg  Config
	deps Deps
	wake chan struct{}

	mu sync.Mutex
	// ours names the Ingresses to write, snap has their present state. Guarded by mu, as is touched: those to look at.
	ours    model.Table[model.Ref, *model.Ingress]
	snap    *model.Snapshot
	touched map[model.Ref]struct{}

	// The fields below belong to the goroutine of Run.

	addresses []model.IngressAddress
	wrote     map[model.Ref]written
	// nodes are the addresses of the pods' nodes, as they were at looked.
	nodes  []model.IngressAddress
	looked time.Time
	// told is the last failure to find the addresses that was logged.
	told string
}

// written is what was written last, and when.
type written struct {
	at        time.Time
	addresses []model.IngressAddress
}

// New returns a Writer that writes nothing until Run.
func New(cfg Config, deps Deps) *Writer {
	return &Writer{cfg: cfg, deps: deps, wake: make(chan struct{}, 1), touched: map[model.Ref]struct{}{}, wrote: map[model.Ref]written{}}
}

// Follow takes note of the present state: the Ingresses to write, a snapshot with their status, and which of them changed.
func (w *Writer) Follow(ours model.Table[model.Ref, *model.Ingress], snap *model.Snapshot, changes model.Changes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ours, w.snap = ours, snap
	for ref := range changes.Ingresses {
		w.touched[ref] = struct{}{}
	}
	for ref := range changes.IngressStatuses {
		w.touched[ref] = struct{}{}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx is done, and returns nil then. It may be called again after it has returned.
func (w *Writer) Run(ctx context.Context) error {
	w.addresses, w.looked = nil, time.Time{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-timer.C:
		case <-look.C:
			// Pods and their nodes are not watched.
		}
		if again := w.pass(ctx); again > 0 {
			timer.Reset(again)
		}
	}
}

// pass writes what differs. It returns after which time it has to be made again, 0: when there is news.
func (w *Writer) pass(ctx context.Context) time.Duration {
	addresses, err := w.present(ctx)
	if err != nil {
		if ctx.Err() == nil && err.Error() != w.told {
			w.told = err.Error()
			w.deps.Log.Warn("the addresses of the entry are not known; the status of Ingresses stays as it is", "error", err)
		}
		return retryAfter
	}
	w.told = ""
	if len(addresses) == 0 {
		return retryAfter // a Service, or nodes, that have no address yet
	}
	all := !slices.Equal(addresses, w.addresses)
	w.addresses = addresses
	due, again := w.due(all, time.Now())
	if w.write(ctx, due) {
		return retryAfter
	}
	return again
}

// present returns the addresses of the entry.
func (w *Writer) present(ctx context.Context) ([]model.IngressAddress, error) {
	switch {
	case len(w.cfg.Addresses) > 0:
		return ordered(slices.Clone(w.cfg.Addresses)), nil
	case w.cfg.Service != model.Ref{}:
		w.mu.Lock()
		snap := w.snap
		w.mu.Unlock()
		if snap == nil {
			return nil, nil
		}
		service, ok := snap.Services.Get(w.cfg.Service)
		if !ok {
			return nil, fmt.Errorf("there is no Service %s: create it, or name another one with --publish-service", w.cfg.Service)
		}
		return ofService(service), nil
	}
	return w.ofPods(ctx)
}

// due returns the Ingresses to write, of all or of those that were touched, and when to look again at those that were written a
// moment ago.
func (w *Writer) due(all bool, now time.Time) (due []model.Ref, again time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.snap == nil {
		return nil, 0
	}
	if all {
		for ref := range w.ours.All() {
			w.touched[ref] = struct{}{}
		}
	}
	for ref := range w.touched {
		if _, ours := w.ours.Get(ref); !ours {
			delete(w.touched, ref)
			delete(w.wrote, ref)
			continue
		}
		ingress, exists := w.snap.Ingresses.Get(ref)
		last := w.wrote[ref]
		switch rest := repeatAfter - now.Sub(last.at); {
		case !exists, slices.Equal(ordered(slices.Clone(ingress.Status)), w.addresses):
			delete(w.touched, ref)
		case rest > 0 && slices.Equal(last.addresses, w.addresses):
			if again == 0 || rest < again {
				again = rest
			}
		default:
			delete(w.touched, ref)
			due = append(due, ref)
		}
	}
	return due, again
}

// write writes the status of Ingresses, and reports whether some could not be written; those are touched again.
func (w *Writer) write(ctx context.Context, due []model.Ref) (failed bool) {
	var all sync.WaitGroup
	slots := make(chan struct{}, writers)
	errs := make([]error, len(due))
	for i, ref := range due {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = w.patch(ctx, ref, w.addresses)
			<-slots
		})
	}
	all.Wait()
	now := time.Now()
	for i, ref := range due {
		if errs[i] == nil {
			w.wrote[ref] = written{now, w.addresses}
			continue
		}
		failed = true
		if ctx.Err() == nil {
			w.deps.Log.Warn("the status of an Ingress is not written, and will be tried again", "ingress", ref, "error", errs[i])
		}
		w.mu.Lock()
		w.touched[ref] = struct{}{}
		w.mu.Unlock()
	}
	return failed
}

// patch sets the addresses of one Ingress. One that is gone needs none.
func (w *Writer) patch(ctx context.Context, ref model.Ref, addresses []model.IngressAddress) error {
	list := make([]networkingv1.IngressLoadBalancerIngress, 0, len(addresses))
	for _, a := range addresses {
		entry := networkingv1.IngressLoadBalancerIngress{Hostname: a.Hostname}
		if a.Addr.IsValid() {
			entry.IP = a.Addr.String()
		}
		list = append(list, entry)
	}
	body, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": list}}})
	if err != nil {
		return fmt.Errorf("encode the status of %s: %w", ref, err)
	}
	_, err = w.deps.Client.NetworkingV1().Ingresses(ref.Namespace).
		Patch(ctx, ref.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "switchyard"}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// Close empties the status of all Ingresses that have our addresses, if the configuration asks for it and no other process of the
// entry runs. It must not be called while Run runs.
func (w *Writer) Close(ctx context.Context) error {
	if !w.cfg.RemoveOnShutdown || len(w.addresses) == 0 {
		return nil
	}
	if w.cfg.Pod != (model.Ref{}) {
		pods, err := w.siblings(ctx)
		if err != nil {
			return err
		}
		if len(pods) > 1 {
			return nil
		}
	}
	w.mu.Lock()
	var due []model.Ref
	for ref := range w.ours.All() {
		if i, ok := w.snap.Ingresses.Get(ref); ok && slices.Equal(ordered(slices.Clone(i.Status)), w.addresses) {
			due = append(due, ref)
		}
	}
	w.mu.Unlock()
	w.addresses = nil
	if w.write(ctx, due) {
		return fmt.Errorf("the status of some Ingresses still has the addresses of the entry, which has ended")
	}
	return nil
}
