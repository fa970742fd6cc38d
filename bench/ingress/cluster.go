package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// hostOf is the name of the nth host, from 0.
func hostOf(n int) string { return fmt.Sprintf("h%d.example", n) }

func refOf(n int) model.Ref { return model.Ref{Namespace: "bench", Name: fmt.Sprintf("h%d", n)} }

// configMap is the entry's.
func configMap() model.Ref { return model.Ref{Namespace: "bench", Name: "entry"} }

// fill makes n Ingresses, and has connections carry any number of requests, as those of the others do.
func (c *cluster) fill(n int) {
	c.snapshot.ConfigMaps = c.snapshot.ConfigMaps.With(configMap(), &model.ConfigMap{
		Ref: configMap(), Data: map[string]string{"keep-alive-requests": "1000000000", "upstream-keepalive-requests": "1000000000"},
	})
	for i := range n {
		c.addService(i)
		c.addIngress(i, hostOf(i), nil)
	}
}

func (c *cluster) addService(n int) {
	ref := refOf(n)
	c.snapshot.Services = c.snapshot.Services.With(ref, &model.Service{
		Ref: ref, Ports: []model.ServicePort{{Name: "http", Protocol: model.TCP, Port: 80, TargetPort: "http"}},
	})
	c.addSlice(n, 1)
}

// addSlice gives a Service the backend as its endpoint, under so many addresses of loopback.
func (c *cluster) addSlice(n, addresses int) {
	ref := refOf(n)
	s := &model.EndpointSlice{
		Ref: ref, Service: ref.Name, Family: model.IPv4,
		Ports: []model.EndpointPort{{Name: "http", Protocol: model.TCP, Port: c.behind.Port()}},
	}
	addr := c.behind.Addr()
	for range addresses {
		s.Endpoints = append(s.Endpoints, model.Endpoint{Addr: addr, Placement: &model.Placement{}, Conditions: model.Ready | model.Serving})
		addr = addr.Next()
	}
	c.snapshot.Slices = c.snapshot.Slices.With(ref, []*model.EndpointSlice{s})
}

func (c *cluster) addIngress(n int, host string, annotations model.Annotations) {
	ref := refOf(n)
	c.snapshot.Ingresses = c.snapshot.Ingresses.With(ref, &model.Ingress{
		Ref: ref, Annotations: append(annotations, model.Annotation{Name: "ssl-redirect", Value: "false"}),
		TLS: []model.IngressTLS{{Hosts: []string{host}}},
		Rules: []model.IngressRule{{Host: host, Paths: []model.IngressPath{
			{Path: "/", Type: model.PathPrefix, Backend: model.IngressBackend{Service: ref.Name, Port: 80}},
		}}},
	})
}

// apply puts the snapshot's table in force.
func (c *cluster) apply(ctx context.Context, changes model.Changes) error {
	table, problems := c.builder.Update(&c.snapshot, changes)
	if len(problems) > 0 {
		return fmt.Errorf("the table has problems: %s", problems[0].Message)
	}
	_, err := c.engine.Apply(ctx, table)
	return err
}

// changed is how long a change took.
type changed struct {
	// Apply is from the new snapshot to the table in force, Seen to the first request that shows it.
	Apply, Seen time.Duration
}

// ServeHTTP makes a change of the nth Ingress and answers with how long it took: "/ingress" another annotation, "/slice"
// another number of endpoints.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	changes := model.Changes{}
	begun := time.Now()
	mark := strconv.FormatInt(begun.UnixNano(), 36)
	switch r.URL.Path {
	case "/ingress":
		c.addIngress(n, hostOf(n), model.Annotations{{Name: "proxy-cookie-path", Value: "/ /" + mark}})
		changes.Ingresses = map[model.Ref]struct{}{refOf(n): {}}
	case "/slice":
		c.addSlice(n, 1+int(begun.UnixNano()/1000%3))
		changes.Services = map[model.Ref]struct{}{refOf(n): {}}
	default:
		http.NotFound(w, r)
		return
	}
	if err := c.apply(r.Context(), changes); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	took := changed{Apply: time.Since(begun)}
	if err := c.ask(r.Context(), hostOf(n)); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	took.Seen = time.Since(begun)
	_ = json.NewEncoder(w).Encode(took)
}

// ask makes a request through the engine.
func (c *cluster) ask(ctx context.Context, host string) error {
	addrs, _ := c.engine.Addresses()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addrs[0].String()+"/", nil)
	if err != nil {
		return err
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", host, response.Status)
	}
	return nil
}
