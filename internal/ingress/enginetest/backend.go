package enginetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Seen is what a backend was asked.
type Seen struct {
	Backend string
	Method  string
	Target  string // as it came, with the query
	Proto   string
	Host    string
	Header  map[string][]string
	Trailer map[string][]string
	Body    string
	Length  int64 // -1: unknown
}

// backend is a server behind the entry.
type backend struct {
	name string
	addr netip.AddrPort

	mu   sync.Mutex
	seen []Seen // guarded by mu
}

// startBackend starts a server that lives as long as the test.
func startBackend(t testing.TB, name string) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{name: name, addr: l.Addr().(*net.TCPAddr).AddrPort()}
	s := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return b
}

// requests returns what was asked since the last call.
func (b *backend) requests() []Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen
	b.seen = nil
	return seen
}

// ServeHTTP answers with what was asked. Parameters of the query ask for something else: status=N, size=N bytes of body, set=NAME:VALUE
// for a header, close=1 to break the connection without an answer, stream=1 to send each piece of the body back as it comes.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("stream") != "" {
		b.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	seen := Seen{
		Backend: b.name, Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host, Header: r.Header, Trailer: r.Trailer,
		Body: string(body), Length: r.ContentLength,
	}
	b.mu.Lock()
	b.seen = append(b.seen, seen)
	b.mu.Unlock()
	if query.Get("close") != "" {
		panic(http.ErrAbortHandler)
	}
	for _, set := range query["set"] {
		name, value, _ := strings.Cut(set, ":")
		w.Header().Add(name, value)
	}
	w.Header().Set("X-Backend", b.name)
	if size, err := strconv.Atoi(query.Get("size")); err == nil {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = io.WriteString(w, strings.Repeat("x", size))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if status, err := strconv.Atoi(query.Get("status")); err == nil {
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(seen)
}

// stream sends back what comes, as it comes.
func (b *backend) stream(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex()
	w.Header().Set("X-Backend", b.name)
	w.WriteHeader(200)
	_ = c.Flush()
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			_, _ = w.Write(buf[:n])
			_ = c.Flush()
		}
		if err != nil {
			return
		}
	}
}

// objects returns the Service and the EndpointSlice of backends of one name.
func objects(name string, of []*backend) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80, targetPort: 80}]}
`, name)
	for i, server := range of {
		fmt.Fprintf(&b, `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-%[2]d, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]d, protocol: TCP}]
endpoints: [{addresses: ["%[4]s"], conditions: {ready: true}}]
`, name, i, server.addr.Port(), server.addr.Addr())
	}
	return b.String()
}
