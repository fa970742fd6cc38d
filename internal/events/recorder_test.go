package events

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/switchyard-net/switchyard/internal/model"
)

// received is what of an Event a user sees.
type received struct {
	Path, Kind, Object, UID, Type, Reason, Message, Component, Host string
}

// apiServer answers like the API server's Event resource, and hands out what it was sent.
func apiServer(t *testing.T) (kubernetes.Interface, <-chan received) {
	t.Helper()
	events := make(chan received, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e corev1.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		o := e.InvolvedObject
		events <- received{r.Method + " " + r.URL.Path, o.Kind, o.Namespace + "/" + o.Name, string(o.UID), e.Type, e.Reason, e.Message, e.Source.Component, e.Source.Host}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e)
	}))
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return client, events
}

func TestEventsReachTheirObjects(t *testing.T) {
	client, events := apiServer(t)
	r := New(Config{NodeName: "node-1"}, Deps{Client: client, Log: slog.New(slog.DiscardHandler)})
	// Before Run: nothing of it may be lost.
	r.ServiceWarning(&model.Service{Ref: model.Ref{Namespace: "shop", Name: "web"}, UID: "u1"}, "ServiceNotHonoured", "spec.type: no")
	r.NodeWarning("UnsupportedByNode", "no SCTP")
	r.ServiceNormal(&model.Service{Ref: model.Ref{Namespace: "shop", Name: "web"}, UID: "u1"}, "EndpointAnswers", "again")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	want := []received{
		{"POST /api/v1/namespaces/shop/events", "Service", "shop/web", "u1", "Warning", "ServiceNotHonoured", "spec.type: no", "switchyard", "node-1"},
		{"POST /api/v1/namespaces/default/events", "Node", "/node-1", "node-1", "Warning", "UnsupportedByNode", "no SCTP", "switchyard", "node-1"},
		{"POST /api/v1/namespaces/shop/events", "Service", "shop/web", "u1", "Normal", "EndpointAnswers", "again", "switchyard", "node-1"},
	}
	if diff := cmp.Diff(want, []received{<-events, <-events, <-events}); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNobodyWaits records far more than can be sent while nothing is sent.
func TestNobodyWaits(t *testing.T) {
	var log strings.Builder
	r := New(Config{NodeName: "node-1"}, Deps{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range queueSize + 1 {
		r.NodeWarning("R", "m")
	}
	if !strings.Contains(log.String(), "dropped") {
		t.Errorf("a dropped Event is not in the log: %q", log.String())
	}
}

func TestLongMessages(t *testing.T) {
	for _, message := range []string{"short", strings.Repeat("x", maxMessage), strings.Repeat("ü", maxMessage), "x" + strings.Repeat("€", maxMessage)} {
		got := shortened(message)
		if len(got) > maxMessage || !utf8.ValidString(got) || len(message) <= maxMessage && got != message {
			t.Errorf("%d bytes became %d: …%q", len(message), len(got), got[max(0, len(got)-10):])
		}
	}
}
