package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Health is the health of a node's Service proxy, served as kube-proxy serves its own
// (k8s.io/kubernetes/pkg/proxy/healthcheck/proxy_health.go). It is safe for concurrent use.
type Health struct {
	timeout time.Duration
	metrics *Metrics

	mu       sync.Mutex
	pending  map[model.Family]time.Time // since when a change has been waiting; guarded by mu
	lastDone map[model.Family]time.Time // guarded by mu
	eligible bool                       // guarded by mu
}

// NewHealth returns the health of a proxy that has nothing to do yet. It is unhealthy once a change has waited for
// longer than timeout.
func NewHealth(timeout time.Duration, metrics *Metrics) *Health {
	return &Health{
		timeout: timeout, metrics: metrics,
		pending: map[model.Family]time.Time{}, lastDone: map[model.Family]time.Time{},
	}
}

// queued notes that the families have changes that are not in the kernel yet.
func (h *Health) queued(families []model.Family) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range families {
		if _, ok := h.pending[f]; !ok {
			h.pending[f] = time.Now()
		}
	}
}

// updated notes that the kernel has all changes of the families.
func (h *Health) updated(families []model.Family) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range families {
		delete(h.pending, f)
		h.lastDone[f] = time.Now()
	}
}

// setNode notes the state of this host's Node; nil: there is none.
func (h *Health) setNode(node *model.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eligible = node != nil && !node.Deleting && !node.DrainedByAutoscaler
}

// familyHealth and proxyHealth are what is served; the names are kube-proxy's.
type familyHealth struct {
	LastUpdated time.Time `json:"lastUpdated"`
	Healthy     bool      `json:"healthy"`
}

type proxyHealth struct {
	LastUpdated  time.Time               `json:"lastUpdated"`
	CurrentTime  time.Time               `json:"currentTime"`
	NodeEligible *bool                   `json:"nodeEligible,omitempty"`
	Healthy      bool                    `json:"healthy"`
	Status       map[string]familyHealth `json:"status,omitempty"`
}

// state returns the health without the Node's, and whether the Node is eligible for traffic of load balancers.
func (h *Health) state() (state proxyHealth, eligible bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	state = proxyHealth{CurrentTime: time.Now(), Healthy: true, Status: map[string]familyHealth{}}
	for f, done := range h.lastDone {
		state.Status[f.String()] = familyHealth{LastUpdated: done, Healthy: true}
		if done.After(state.LastUpdated) {
			state.LastUpdated = done
		}
	}
	for f, since := range h.pending {
		if state.CurrentTime.Sub(since) >= h.timeout {
			state.Healthy = false
			state.Status[f.String()] = familyHealth{LastUpdated: h.lastDone[f]}
		}
	}
	return state, h.eligible
}

// healthy reports whether no change has waited for too long.
func (h *Health) healthy() bool {
	state, _ := h.state()
	return state.Healthy
}

// Ready returns nil once the kernel has had all that was planned, and while no change waits for too long.
func (h *Health) Ready() error {
	state, _ := h.state()
	switch {
	case state.LastUpdated.IsZero():
		return errors.New("the Service rules are not in the kernel yet")
	case !state.Healthy:
		return fmt.Errorf("a change of the Service rules has been waiting for more than %s", h.timeout)
	}
	return nil
}

// Handler serves /healthz, which tells load balancers whether to send traffic to this node, and /livez, which tells the
// kubelet whether the process is stuck.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		state, eligible := h.state()
		state.NodeEligible = &eligible
		h.answer(w, state, state.Healthy && eligible, h.metrics.healthz)
	})
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {
		state, _ := h.state()
		h.answer(w, state, state.Healthy, h.metrics.livez)
	})
	return mux
}

func (h *Health) answer(w http.ResponseWriter, state proxyHealth, ok bool, count *prometheus.CounterVec) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if ok {
		// Old clients of kube-proxy take an old lastUpdated for a proxy that hangs.
		state.LastUpdated = state.CurrentTime
		count.WithLabelValues("200").Inc()
	} else {
		count.WithLabelValues("503").Inc()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error here is that of a client that went away.
	_ = json.NewEncoder(w).Encode(state)
}
