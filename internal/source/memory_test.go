package source

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

// bigCluster returns an API server that holds that many Services, each with a slice of 10 endpoints.
func bigCluster(services int) *apiServer {
	api := newAPIServer()
	for i := range 100 {
		api.put(testNode(fmt.Sprintf("node-%d", i), fmt.Sprintf("192.0.2.%d", i)))
	}
	for i := range services {
		name := fmt.Sprintf("service-%05d", i)
		api.put(testService(name, fmt.Sprintf("10.%d.%d.%d", 96+i>>16, i>>8&255, i&255)))
		var addrs []string
		for j := range 10 {
			n := i*10 + j
			addrs = append(addrs, fmt.Sprintf("10.%d.%d.%d", 128+n>>16, n>>8&255, n&255))
		}
		s := testSlice(name+"-abcde", name, addrs...)
		for j := range s.Endpoints {
			node := fmt.Sprintf("node-%d", (i+j)%100)
			s.Endpoints[j].NodeName = &node
			s.Endpoints[j].TargetRef.Name = fmt.Sprintf("%s-7d4b9c6f5d-%05x", name, i*10+j)
			s.Endpoints[j].TargetRef.UID = "0b2f7a54-6ac1-4a4b-a5b5-5a0ef7a8a1c2"
		}
		api.put(s)
	}
	return api
}

// BenchmarkRead reads 10,000 Services of 10 endpoints and reports what the Source holds of them. The server's own
// memory is taken before.
func BenchmarkRead(b *testing.B) {
	for name, faults := range map[string]apiFaults{"stream": {}, "pages": {NoStreams: true}} {
		b.Run(name, func(b *testing.B) {
			api := bigCluster(10_000)
			api.misbehave(faults)
			url := listen(b, api)
			before := liveHeap()
			for b.Loop() {
				stop := readAll(b, url)
				b.StopTimer()
				b.ReportMetric(float64(liveHeap()-before)/1e6, "MB-held")
				stop()
				b.StartTimer()
			}
			runtime.KeepAlive(api)
		})
	}
}

// BenchmarkProcess reads the same state in a process of its own, as a node does, and reports its memory now and at its
// most, for several values of GOGC.
func BenchmarkProcess(b *testing.B) {
	api := bigCluster(10_000)
	url := listen(b, api)
	for _, gogc := range []string{"100", "50", "30"} {
		b.Run("GOGC="+gogc, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkReader$", "-test.benchtime=1x")
				cmd.Env = append(os.Environ(), "GOGC="+gogc, readerURL+"="+url)
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				for field, unit := range map[string]string{"VmRSS": "MB-RSS", "VmHWM": "MB-peak"} {
					var kB float64
					if _, after, ok := strings.Cut(string(out), field+":"); ok {
						_, _ = fmt.Sscan(after, &kB)
					}
					b.ReportMetric(kB/1e3, unit)
				}
			}
		})
	}
}

// readerURL is the environment variable that makes BenchmarkReader the process that BenchmarkProcess measures.
const readerURL = "SWITCHYARD_TEST_READER_URL"

// BenchmarkReader is that process.
func BenchmarkReader(b *testing.B) {
	url := os.Getenv(readerURL)
	if url == "" {
		b.Skip("is run by BenchmarkProcess")
	}
	stop := readAll(b, url)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	fmt.Print(string(status))
	stop()
}

// listen serves api on a loopback port for the duration of the benchmark.
func listen(b *testing.B, api *apiServer) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: api}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

// readAll runs a Source until its first snapshot, which stays until the function it returns is called.
func readAll(b *testing.B, url string) func() {
	client, err := NewClient(&rest.Config{Host: url})
	if err != nil {
		b.Fatal(err)
	}
	src, err := New(Config{}, Deps{Client: client, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = src.Run(ctx) }()
	snap, _, err := src.Subscribe().Next(ctx)
	if err != nil || snap.Services.Len() != 10_000 {
		b.Fatalf("snapshot of %d Services, %v", snap.Services.Len(), err)
	}
	return func() { cancel(); <-done; runtime.KeepAlive(src) }
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkEvent is one EndpointSlice that changes, among that many Services: the cost must not grow with them.
func BenchmarkEvent(b *testing.B) {
	for _, services := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			st := newState([]Kind{EndpointSlices})
			m := sliceMirror(st)
			m.begin()
			for i := range services {
				s := testSlice(fmt.Sprintf("s-%d", i), fmt.Sprintf("s-%d", i), "10.0.0.1", "10.0.0.2")
				m.list(refOf(s), s)
			}
			m.commit()
			sub := &Subscription{state: st, wake: make(chan struct{}, 1)}
			st.subs[sub] = struct{}{}
			sub.take()
			versions := []kruntime.Object{testSlice("s-7", "s-7", "10.0.0.1"), testSlice("s-7", "s-7", "10.0.0.2")}
			ref := model.Ref{Namespace: "default", Name: "s-7"}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.set(ref, versions[i%2])
				if snap, changes := sub.take(); snap == nil || len(changes.Services) != 1 {
					b.Fatal("no change")
				}
			}
		})
	}
}

func sliceMirror(st *state) *mirror[model.EndpointSlice] {
	c := converter{strings: newInterner()}
	return &mirror[model.EndpointSlice]{
		state: st, kind: EndpointSlices, put: (*edition).slice, held: map[model.Ref]*model.EndpointSlice{},
		convert: func(o kruntime.Object) *model.EndpointSlice { return c.endpointSlice(o.(*discoveryv1.EndpointSlice)) },
	}
}
