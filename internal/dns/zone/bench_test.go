package zone

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// bigCluster has that many Services of ten endpoints, of which every tenth is headless, and two headless ones of 3 and
// of 100.
func bigCluster(services int) *world {
	w := &world{}
	w.namespace("default")
	add := func(ref model.Ref, svc *model.Service, n, count int) {
		w.service(svc)
		w.slices(ref, slice(ref, ref.Name+"-abcde", n, count))
	}
	for i := range services {
		ref := model.Ref{Namespace: "default", Name: fmt.Sprintf("service-%05d", i)}
		if i%10 == 9 {
			add(ref, headlessService(ref), i*10, 10)
		} else {
			add(ref, clusterService(ref, i), i*10, 10)
		}
	}
	for _, n := range []int{3, 100} {
		ref := model.Ref{Namespace: "default", Name: fmt.Sprintf("headless-%d", n)}
		add(ref, headlessService(ref), services*10+n, n)
	}
	return w
}

// questions are one of each sort that the fast path answers.
var questions = []struct {
	name, qname string
	kind        uint16
}{
	{"A", "service-00007.default.svc.cluster.local.", typeA},
	{"AAAA", "service-00007.default.svc.cluster.local.", typeAAAA},
	{"SRV", "_http._tcp.service-00007.default.svc.cluster.local.", typeSRV},
	{"headless-3", "headless-3.default.svc.cluster.local.", typeA},
	{"headless-100", "headless-100.default.svc.cluster.local.", typeA},
	{"headless-100-SRV", "_http._tcp.headless-100.default.svc.cluster.local.", typeSRV},
	{"endpoint", "10-128-0-97.service-00009.default.svc.cluster.local.", typeA},
	{"endpoint-of-cluster-IP", "10-128-0-72.service-00007.default.svc.cluster.local.", typeA},
	{"NXDOMAIN", "absent.default.svc.cluster.local.", typeA},
	{"search", "www.example.com.default.svc.cluster.local.", typeA},
	{"pod", "10-244-1-1.default.pod.cluster.local.", typeA},
	{"PTR", "7.0.96.10.in-addr.arpa.", typePTR},
	{"PTR-endpoint", "72.0.128.10.in-addr.arpa.", typePTR},
	{"SOA", "cluster.local.", typeSOA},
	{"dns-version", "dns-version.cluster.local.", typeTXT},
}

func BenchmarkAnswer(b *testing.B) {
	z, live := zonesOf(b, Options{Pods: PodsInsecure})
	snap, changes := bigCluster(10_000).take()
	live.apply(snap, changes)
	for _, c := range questions {
		b.Run(c.name, func(b *testing.B) {
			msg, q := question(b, c.qname, c.kind)
			b.ReportAllocs()
			for b.Loop() {
				if _, reply := z.Answer(msg, q); reply.Verdict != Answered {
					b.Fatal("not answered")
				}
			}
		})
	}
}

// TestAnswerAllocatesNothing covers what the fast path answers.
func TestAnswerAllocatesNothing(t *testing.T) {
	z, live := zonesOf(t, Options{Pods: PodsInsecure, Zonal: true})
	snap, changes := bigCluster(20).take()
	live.apply(snap, changes)
	for _, c := range questions {
		msg, q := question(t, c.qname, c.kind)
		got := testing.AllocsPerRun(100, func() {
			if _, reply := z.Answer(msg, q); reply.Verdict != Answered {
				t.Errorf("%s %s is not answered", c.qname, c.name)
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations, want none", c.name, got)
		}
	}
}

// BenchmarkMemory reports what the table holds besides the snapshot, at 10,000 Services of 10 endpoints.
func BenchmarkMemory(b *testing.B) {
	snap, changes := bigCluster(10_000).take()
	for b.Loop() {
		before := liveHeap()
		live := NewLive(Config{})
		live.apply(snap, changes)
		b.ReportMetric(float64(liveHeap()-before)/1e6, "MB-held")
		runtime.KeepAlive(live)
	}
	runtime.KeepAlive(snap)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkUpdate is one slice that changes, among that many Services: the cost must not grow with them.
func BenchmarkUpdate(b *testing.B) {
	for _, services := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			w := bigCluster(services)
			live := NewLive(Config{})
			live.apply(w.take())
			ref := model.Ref{Namespace: "default", Name: "service-00007"}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.slices(ref, slice(ref, "service-00007-abcde", 70+i%2, 10))
				live.apply(w.take())
			}
		})
	}
}

// BenchmarkBuild makes the whole table at once.
func BenchmarkBuild(b *testing.B) {
	snap, changes := bigCluster(10_000).take()
	changes.All = true
	b.ReportAllocs()
	for b.Loop() {
		var builder builder
		builder.update(&Table{}, snap, changes, time.Now())
	}
}
