package nginx

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
	"github.com/switchyard-net/switchyard/internal/ingress/native"
)

// outcome is what the client and a backend see of a request, as far as both engines must agree in it.
type outcome struct {
	Status   int
	Location string
	Backend  string // "": none was asked
	Target   string
	Prefix   string // X-Forwarded-Prefix
}

var seed = flag.Uint64("seed", 1, "of the random Ingresses and requests")

// TestRoutesAsNginxDoes asks a real nginx, configured from the same table, and the native engine the same random questions about random
// Ingresses: which backend is asked for what, and what is answered instead.
func TestRoutesAsNginxDoes(t *testing.T) {
	const tables, requests = 30, 40
	random := rand.New(rand.NewPCG(*seed, 0))
	first := enginetest.Case{Manifest: manifestOf(random), Backends: backends[:]}
	ours, theirs := enginetest.Serve(t, startNative(), first), enginetest.Serve(t, start(nil), first)
	for n := range tables {
		manifest := first.Manifest
		if n > 0 {
			manifest = manifestOf(random)
			ours.Apply(t, manifest)
			theirs.Apply(t, manifest)
		}
		for range requests {
			host, target := hosts[random.IntN(len(hosts))], targetOf(random)
			got, want := ask(t, ours, host, target), ask(t, theirs, host, target)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("table %d, GET %s of %s (-nginx +native):\n%s%s", n, target, host, diff, manifest)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func startNative() enginetest.Start {
	return enginetest.Start{New: func(t testing.TB) enginetest.Started {
		t.Helper()
		loopback := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		e, err := native.New(native.Config{HTTP: loopback, HTTPS: loopback, Loops: 1, TempDir: t.TempDir()}, native.Deps{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		return enginetest.Started{Engine: e, Addresses: func() (string, string) {
			http, https := e.Addresses()
			return http[0].String(), https[0].String()
		}}
	}}
}

// ask makes a request whose bytes no client has tidied up.
func ask(t *testing.T, e *enginetest.Entry, host, target string) outcome {
	t.Helper()
	c, err := net.Dial("tcp", e.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, host); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	o := outcome{Status: response.StatusCode, Location: response.Header.Get("Location")}
	for _, name := range append([]string{"web"}, backends[:]...) {
		for _, seen := range e.Seen(name) {
			o.Backend, o.Target = o.Backend+name, seen.Target
			o.Prefix = strings.Join(seen.Header["X-Forwarded-Prefix"], ",")
		}
	}
	return o
}

// What Ingresses and requests are made of.
var (
	backends = [...]string{"red", "green", "blue"}
	hosts    = [...]string{"a.example", "b.example", "x.c.example", "none.invalid", "A.Example"}
	// plainPaths may be of each type, patterns only of type ImplementationSpecific.
	plainPaths  = [...]string{"/", "/foo", "/foo/", "/foo/bar", "/Foo", "/foo.bar", "/foo-bar", "/a/b/c", "/a", "/a/", "/aaa", "/fo"}
	patterns    = [...]string{"/foo(/|$)(.*)", "/[A-Z]{3}", "/foo/bar/[a-z]{3}", "/v[0-9]+", "/a/(b|c)/(.*)", "/(.*)", "/foo.*", "/x(/.*)?", `/foo\.bar`, "/FOO"}
	targets     = [...]string{"/", "/$1", "/$2", "/new/$2", "/new", "/a~b.c/$1"}
	elements    = [...]string{"foo", "Foo", "FOO", "bar", "a", "b", "c", "aaa", "abc", "v1", "x", "uuid", ".", "..", "", "%66oo", "%2e%2e", "%2F", "%20", "foo.bar", "fo%6f", "%C3%A9", "foo%2fbar", "...", "a+b", "%25", "%3f", ";p=1"}
	pathTypes   = [...]string{"Exact", "Prefix", "ImplementationSpecific"}
	hostsOfRule = [...]string{"a.example", "b.example", `"*.c.example"`}
)

// manifestOf returns a few Ingresses that share hosts.
func manifestOf(random *rand.Rand) string {
	var b strings.Builder
	for i := range 1 + random.IntN(3) {
		regex := random.IntN(3) == 0
		var annotations []string
		if regex {
			annotations = append(annotations, `nginx.ingress.kubernetes.io/use-regex: "true"`)
		}
		if random.IntN(4) == 0 {
			annotations = append(annotations, fmt.Sprintf("nginx.ingress.kubernetes.io/rewrite-target: %q", targets[random.IntN(len(targets))]))
			if random.IntN(3) == 0 {
				annotations = append(annotations, `nginx.ingress.kubernetes.io/x-forwarded-prefix: "/prefix"`)
			}
			regex = true
		}
		if random.IntN(8) == 0 {
			annotations = append(annotations, `nginx.ingress.kubernetes.io/app-root: /foo`)
		}
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i%d\n  namespace: default\n  creationTimestamp: 2026-01-0%dT00:00:00Z\n  annotations: {%s}\nspec:\n  rules:\n",
			i, i+1, strings.Join(annotations, ", "))
		for range 1 + random.IntN(2) {
			fmt.Fprintf(&b, "  - host: %s\n    http:\n      paths:\n", hostsOfRule[random.IntN(len(hostsOfRule))])
			for range 1 + random.IntN(3) {
				path, kind := plainPaths[random.IntN(len(plainPaths))], pathTypes[random.IntN(len(pathTypes))]
				if regex && random.IntN(2) == 0 {
					path, kind = patterns[random.IntN(len(patterns))], "ImplementationSpecific"
				}
				fmt.Fprintf(&b, "      - {path: '%s', pathType: %s, backend: {service: {name: %s, port: {number: 80}}}}\n", path, kind, backends[random.IntN(len(backends))])
			}
		}
	}
	return b.String()
}

// targetOf returns a request-target.
func targetOf(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(5) {
		b.WriteString("/" + elements[random.IntN(len(elements))])
	}
	if b.Len() == 0 || random.IntN(4) == 0 {
		b.WriteString("/")
	}
	if random.IntN(4) == 0 {
		b.WriteString("?q=1&r=%2F")
	}
	return b.String()
}
