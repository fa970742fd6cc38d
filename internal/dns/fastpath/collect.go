package fastpath

import (
	"strings"
	"time"

	"github.com/coredns/coredns/plugin/metrics/vars"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Labelled are the Counts of a listener and zone, with the values that CoreDNS gives to the labels server and zone.
type Labelled struct {
	Server, Zone string
	Counts       *Counts
}

// Collector exports CoreDNS's metrics of requests (plugin/metrics/vars), with the answers of the fast path added to those
// of CoreDNS itself. It takes the place of CoreDNS's own collectors in a registry, and has no native histograms.
type Collector struct {
	counts func() []Labelled
}

// NewCollector returns a collector. counts returns all Counts that there are.
func NewCollector(counts func() []Labelled) *Collector { return &Collector{counts: counts} }

// Replaced returns the collectors of CoreDNS that must be taken out of the registry.
func Replaced() []prometheus.Collector {
	return []prometheus.Collector{
		vars.RequestCount, vars.RequestDuration, vars.RequestSize, vars.RequestDo, vars.ResponseSize, vars.ResponseRcode,
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, replaced := range Replaced() {
		replaced.Describe(descs)
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	count := newSeries(vars.RequestCount, "server", "zone", "view", "proto", "family", "type")
	wantDNSSEC := newSeries(vars.RequestDo, "server", "zone", "view")
	rcodes := newSeries(vars.ResponseRcode, "server", "zone", "view", "rcode", "plugin")
	requestSize := newSeries(vars.RequestSize, "server", "zone", "view", "proto")
	replySize := newSeries(vars.ResponseSize, "server", "zone", "view", "proto")
	duration := newSeries(vars.RequestDuration, "server", "zone", "view")
	for _, l := range c.counts() {
		for i := range l.Counts.shards {
			s := &l.Counts.shards[i]
			for family := range s.requests {
				for kind := range s.requests[family] {
					count.add(s.requests[family][kind].Load(), l.Server, l.Zone, "", "udp", familyName(family), typeName(uint16(kind)))
				}
			}
			for rcode := range s.rcodes {
				rcodes.add(s.rcodes[rcode].Load(), l.Server, l.Zone, "", dns.RcodeToString[rcode], pluginName)
			}
			wantDNSSEC.add(s.wantDNSSEC.Load(), l.Server, l.Zone, "")
			requestSize.addHistogram(&s.requestSize, sizeBound, 1, l.Server, l.Zone, "", "udp")
			replySize.addHistogram(&s.replySize, sizeBound, 1, l.Server, l.Zone, "", "udp")
			duration.addHistogram(&s.served, timeBound, float64(time.Second), l.Server, l.Zone, "")
		}
	}
	for _, s := range []*series{count, wantDNSSEC, rcodes, requestSize, replySize, duration} {
		s.collect(metrics)
	}
}

// pluginName is the label plugin of answers of the fast path.
const pluginName = "fastpath"

// familyName is the label family, as in vars.Report.
func familyName(family int) string { return string(rune('1' + family)) }

// typeName is the label type: those of vars.monitorType have names.
func typeName(kind uint16) string {
	switch kind {
	case dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeDNSKEY, dns.TypeDS, dns.TypeMX, dns.TypeNSEC3, dns.TypeNSEC, dns.TypeNS,
		dns.TypePTR, dns.TypeRRSIG, dns.TypeSOA, dns.TypeSRV, dns.TypeTXT, dns.TypeHTTPS, dns.TypeSVCB:
		return dns.TypeToString[kind]
	}
	return "other"
}

// sizeBound and timeBound are the bounds of the i-th buckets, in bytes and seconds; false: it has none.
func sizeBound(i int) (float64, bool) {
	if i >= sizeBuckets {
		return 0, false
	}
	return float64(sizeBounds()[i]), true
}

func timeBound(i int) (float64, bool) {
	return (firstTimeBound << i).Seconds(), i < timeBuckets
}

// series are the metrics of one name, by the values of their labels.
type series struct {
	desc   *prometheus.Desc
	labels []string
	values map[string]*value
}

// value is a counter or a histogram.
type value struct {
	labels    []string
	counter   float64
	histogram bool
	count     uint64
	sum       float64
	buckets   map[float64]uint64 // cumulative
}

// newSeries returns what CoreDNS itself has counted. labels are in the order of its definition.
func newSeries(of prometheus.Collector, labels ...string) *series {
	descs := make(chan *prometheus.Desc, 1)
	of.Describe(descs)
	s := &series{desc: <-descs, labels: labels, values: map[string]*value{}}
	metrics := make(chan prometheus.Metric)
	go func() {
		of.Collect(metrics)
		close(metrics)
	}()
	for m := range metrics {
		var out dto.Metric
		if m.Write(&out) == nil {
			s.take(&out)
		}
	}
	return s
}

// take adds a metric of CoreDNS's.
func (s *series) take(m *dto.Metric) {
	byName := map[string]string{}
	for _, pair := range m.GetLabel() {
		byName[pair.GetName()] = pair.GetValue()
	}
	labels := make([]string, len(s.labels))
	for i, name := range s.labels {
		labels[i] = byName[name]
	}
	v := s.value(labels)
	v.counter += m.GetCounter().GetValue()
	if h := m.GetHistogram(); h != nil {
		v.histogram = true
		v.count += h.GetSampleCount()
		v.sum += h.GetSampleSum()
		for _, b := range h.GetBucket() {
			v.buckets[b.GetUpperBound()] += b.GetCumulativeCount()
		}
	}
}

func (s *series) value(labels []string) *value {
	key := strings.Join(labels, "\xff")
	v := s.values[key]
	if v == nil {
		v = &value{labels: labels, buckets: map[float64]uint64{}}
		s.values[key] = v
	}
	return v
}

// add adds to a counter; what has never happened has no metric.
func (s *series) add(n uint64, labels ...string) {
	if n > 0 {
		s.value(labels).counter += float64(n)
	}
}

// addHistogram adds a histogram whose sum is in 1/unit of the metric's unit.
func (s *series) addHistogram(h *histogram, bound func(int) (float64, bool), unit float64, labels ...string) {
	sum := h.sum.Load()
	if sum == 0 {
		return
	}
	v := s.value(labels)
	v.histogram = true
	v.sum += float64(sum) / unit
	var cumulative uint64
	for i := range h.buckets {
		cumulative += h.buckets[i].Load()
		if upper, ok := bound(i); ok {
			v.buckets[upper] += cumulative
		}
	}
	v.count += cumulative
}

func (s *series) collect(metrics chan<- prometheus.Metric) {
	for _, v := range s.values {
		if v.histogram {
			metrics <- prometheus.MustNewConstHistogram(s.desc, v.count, v.sum, v.buckets, v.labels...)
		} else {
			metrics <- prometheus.MustNewConstMetric(s.desc, prometheus.CounterValue, v.counter, v.labels...)
		}
	}
}
