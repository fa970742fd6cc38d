package events

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/model"
)

func TestSubjects(t *testing.T) {
	client, events := apiServer(t)
	r := New(Config{NodeName: "entry"}, Deps{Client: client, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	ref := model.Ref{Namespace: "shop", Name: "web"}
	r.Normal(Subject{"Ingress", ref, "u1"}, "InForce", "served")
	r.Warning(Subject{"Secret", ref, "u2"}, "NoCertificate", "tls.crt: none")
	want := []received{
		{"POST /api/v1/namespaces/shop/events", "Ingress", "shop/web", "u1", "Normal", "InForce", "served", "switchyard", "entry"},
		{"POST /api/v1/namespaces/shop/events", "Secret", "shop/web", "u2", "Warning", "NoCertificate", "tls.crt: none", "switchyard", "entry"},
	}
	if diff := cmp.Diff(want, []received{<-events, <-events}); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
