package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/switchyard-net/switchyard/internal/model"
)

const (
	// pageSize is the number of objects that are held in full at a time where the state comes in pages.
	pageSize = 500
	// requestTimeout bounds a page, and the time until a watch begins.
	requestTimeout = time.Minute
	// streamSilence is how long the stream of a complete state may pause before the state is asked for in pages: an
	// API server older than WatchList does not say where the state ends.
	streamSilence = 20 * time.Second
	// watchSilence is how long a watch may be silent before it counts as dead. The API server sends a bookmark each
	// minute (k8s.io/apiserver/pkg/storage/cacher).
	watchSilence = 150 * time.Second
	// minWatch and twice that are the bounds of how long a watch is asked to last, as in client-go.
	minWatch = 5 * time.Minute
	// absentPause is the pause before the API server is asked again for a kind that it does not have.
	absentPause = time.Minute
)

// Why a feed has to begin again.
var (
	errEnded   = errors.New("the watch ended before its time")
	errSilent  = errors.New("the watch fell silent")
	errHistory = errors.New("the API server's resource versions went backwards")
)

// store is what a feed fills; mirror says what each method does.
type store interface {
	begin()
	list(model.Ref, runtime.Object)
	unlist(model.Ref)
	commit()
	set(model.Ref, runtime.Object)
	unset(model.Ref)
	len() int
}

// feed reads one kind from the API server, for as long as it is run.
type feed struct {
	resource
	log     *slog.Logger
	metrics kindMetrics
	store   store
	status  status
	// stream is true if the next complete state is to be asked for as a stream; refused, if the API server has none.
	stream, refused bool
	// version is the resource version of what the store holds; "": a complete state has to be read.
	version string
	// doubtful is true after a watch that was cut off: the API server may have come back with another history.
	doubtful bool
	// onFailure, if set, is told why a turn ended.
	onFailure func(error)
	// stuckAt is the version at which the last turn failed.
	stuckAt string
}

// run reads until ctx is done.
func (f *feed) run(ctx context.Context) {
	var wait backoff
	for ctx.Err() == nil {
		begun := time.Now()
		err := f.turn(ctx)
		if ctx.Err() != nil || err == nil {
			continue
		}
		if time.Since(begun) > steady {
			wait.reset()
		}
		f.metrics.failure(err)
		if f.optional && f.store.len() == 0 && apierrors.IsNotFound(err) {
			f.absent()
			sleep(ctx, absentPause)
			continue
		}
		f.consider(err)
		f.failed(err)
		if f.onFailure != nil {
			f.onFailure(err)
		}
		sleep(ctx, wait.next())
	}
}

// turn brings the store up to date and follows the changes for as long as that goes. It returns nil when a watch
// lasted for its time.
func (f *feed) turn(ctx context.Context) error {
	if f.version != "" && f.doubtful {
		if err := f.checkHistory(ctx); err != nil {
			return err
		}
	}
	if f.version == "" && !f.stream {
		if err := f.listAll(ctx); err != nil {
			return err
		}
		f.stream = !f.refused
	}
	return f.follow(ctx)
}

// consider draws from err how the next turn has to begin.
func (f *feed) consider(err error) {
	switch {
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), errors.Is(err, errHistory):
		f.version = ""
	case errors.Is(err, errSilent):
		// The version may be one that a restored API server has yet to reach, and until then it would say nothing.
		f.stream = f.version != "" && !f.refused
		f.version = ""
	case f.version == "" && f.stream && (apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)):
		f.stream, f.refused = false, true
	case apierrors.IsInternalError(err) && f.version == f.stuckAt:
		f.version = "" // the next event cannot be sent or decoded: go around it
	}
	f.stuckAt = f.version
}

// absent takes note that the API server does not have the kind: it counts as read, and as empty.
func (f *feed) absent() {
	f.store.begin()
	f.store.commit()
	f.version = ""
	f.synced()
}

// checkHistory compares the API server's resource version with ours. A lower one means that it was restored from
// a backup or replaced; a watch would stay silent until it caught up. A restored one that has already caught up cannot
// be told from the old one, which is why etcd's manual asks for the revisions to be bumped when a backup is restored.
func (f *feed) checkHistory(ctx context.Context) error {
	o := f.options()
	o.Limit = 1
	p, err := f.page(ctx, o)
	if err != nil {
		return err
	}
	if isOlder(p.version, f.version) {
		return errHistory
	}
	f.doubtful = false
	return nil
}

// listAll reads the complete state in pages.
func (f *feed) listAll(ctx context.Context) error {
	f.metrics.reads("pages")
	f.store.begin()
	o := f.options()
	o.Limit = pageSize
	for {
		p, err := f.page(ctx, o)
		if o.Continue != "" && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)) {
			o.Continue, o.Limit = "", 0 // the state grew too old between two pages: all at once
			f.store.begin()
			continue
		}
		if err != nil {
			return err
		}
		for _, item := range p.items {
			if m, err := meta.Accessor(item); err == nil {
				f.store.list(refOf(m), item)
			}
		}
		if o.Continue = p.next; o.Continue == "" {
			f.version, f.doubtful = p.version, false
			f.store.commit()
			f.synced()
			return nil
		}
	}
}

func (f *feed) page(ctx context.Context, o metav1.ListOptions) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	p, err := f.list(ctx, o)
	if err != nil {
		return page{}, fmt.Errorf("list %s: %w", f.kind, err)
	}
	f.contact()
	return p, nil
}

// follow watches from f.version on, or reads the complete state as a stream first where there is none.
func (f *feed) follow(ctx context.Context) error {
	o := f.options()
	o.AllowWatchBookmarks = true
	o.ResourceVersion = f.version
	lasting := minWatch + rand.N(minWatch)
	seconds := int64(lasting / time.Second)
	o.TimeoutSeconds = &seconds
	if f.version == "" {
		f.metrics.reads("stream")
		f.store.begin()
		yes := true
		o.SendInitialEvents = &yes
		o.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	}
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	expiry := time.AfterFunc(requestTimeout, cancel)
	w, err := f.watch(ctx, o)
	expiry.Stop()
	if err != nil {
		return fmt.Errorf("watch %s: %w", f.kind, err)
	}
	defer w.Stop()
	f.doubtful = true
	err = f.consume(ctx, w)
	if errors.Is(err, errEnded) && time.Since(begun) >= lasting-time.Second && f.version != "" {
		f.doubtful = false
		return nil
	}
	return fmt.Errorf("watch %s: %w", f.kind, err)
}

// consume takes events until the watch ends.
func (f *feed) consume(ctx context.Context, w watch.Interface) error {
	limit := func() time.Duration {
		if f.version == "" {
			return streamSilence
		}
		return watchSilence
	}
	silence := time.NewTimer(limit())
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-silence.C:
			return errSilent
		case e, ok := <-w.ResultChan():
			if !ok {
				return errEnded
			}
			if err := f.take(e); err != nil {
				return err
			}
			silence.Reset(limit())
		}
	}
}

// take handles one event. Before the state is complete, f.version is "" and the events make up the state.
func (f *feed) take(e watch.Event) error {
	if e.Type == watch.Error {
		return apierrors.FromObject(e.Object)
	}
	m, err := meta.Accessor(e.Object)
	if err != nil {
		return fmt.Errorf("event %s: %w", e.Type, err)
	}
	f.contact()
	f.metrics.event()
	ref, version, initial := refOf(m), m.GetResourceVersion(), f.version == ""
	if !initial && isOlder(version, f.version) {
		return errHistory
	}
	switch e.Type {
	case watch.Added, watch.Modified:
		if initial {
			f.store.list(ref, e.Object)
		} else {
			f.store.set(ref, e.Object)
		}
	case watch.Deleted:
		if initial {
			f.store.unlist(ref)
		} else {
			f.store.unset(ref)
		}
	case watch.Bookmark:
		if initial && m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			f.version = version
			f.store.commit()
			f.synced()
		}
	}
	if !initial {
		f.version = version
		f.metrics.objects(f.store.len())
	}
	return nil
}

// options returns the selectors of the kind.
func (f *feed) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: f.label, FieldSelector: f.field}
}

func refOf(m metav1.Object) model.Ref {
	return model.Ref{Namespace: m.GetNamespace(), Name: m.GetName()}
}

// isOlder reports whether resource version a comes before b. Versions are comparable since Kubernetes 1.35
// (KEP-5504), and were in fact before; one that is no number counts as older, so that the state is read anew.
func isOlder(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order < 0
}
