package proxy

import (
	"slices"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// pendingChanges counts, for the metrics of kube-proxy, what happened to Services and to their slices, and measures how
// long it took to reach the kernel.
type pendingChanges struct {
	began               time.Time // of the process's first batch: older triggers are not our latency
	services, endpoints int       // since the last time that the kernel was equal to the plan
	triggers            []trigger // likewise
	noLocal             map[noLocal]int
}

// trigger is when the change behind a new version of a slice happened.
type trigger struct {
	family model.Family
	at     time.Time
}

// noLocal is a pair of labels of kubeproxy_sync_proxy_rules_no_local_endpoints_total.
type noLocal struct {
	policy string
	family model.Family
}

// add counts what differs between the snapshot before, nil at the start, and a batch.
func (c *pendingChanges) add(before *model.Snapshot, b batch, metrics *Metrics) {
	services, endpoints := 0, 0
	if before == nil {
		c.began = time.Now()
		c.noLocal = map[noLocal]int{}
		services, endpoints = b.snapshot.Services.Len(), b.snapshot.Slices.Len()
	} else {
		for ref := range b.changes.Services {
			oldService, _ := before.Services.Get(ref)
			newService, _ := b.snapshot.Services.Get(ref)
			if oldService != newService {
				services++
			}
			oldSlices, _ := before.Slices.Get(ref)
			newSlices, _ := b.snapshot.Slices.Get(ref)
			if !slices.Equal(oldSlices, newSlices) {
				endpoints++
				c.addTriggers(oldSlices, newSlices)
			}
		}
	}
	c.services += services
	c.endpoints += endpoints
	metrics.servicesTotal.Add(float64(services))
	metrics.endpointsTotal.Add(float64(endpoints))
	c.publish(metrics)
}

// addTriggers notes the trigger times of the slices that are new, or newer than before.
func (c *pendingChanges) addTriggers(before, after []*model.EndpointSlice) {
	for _, slice := range after {
		known := slices.ContainsFunc(before, func(old *model.EndpointSlice) bool {
			return old.Ref == slice.Ref && old.TriggerTime.Equal(slice.TriggerTime)
		})
		if !known && slice.TriggerTime.After(c.began) {
			c.triggers = append(c.triggers, trigger{slice.Family, slice.TriggerTime})
		}
	}
}

// settle notes that nothing is pending any more.
func (c *pendingChanges) settle(now time.Time, metrics *Metrics) {
	for _, t := range c.triggers {
		metrics.programming.WithLabelValues(t.family.String()).Observe(now.Sub(t.at).Seconds())
	}
	c.services, c.endpoints, c.triggers = 0, 0, nil
	c.publish(metrics)
}

func (c *pendingChanges) publish(metrics *Metrics) {
	metrics.servicesPending.Set(float64(c.services))
	metrics.endpointsPending.Set(float64(c.endpoints))
}

// observe notes that the kernel went from one plan of a Service to another; nil stands for none.
func (c *pendingChanges) observe(before, after *plan.Service, metrics *Metrics) {
	if before != nil {
		c.countNoLocal(before, -1, metrics)
	}
	if after != nil {
		c.countNoLocal(after, 1, metrics)
	}
}

// countNoLocal counts the ports of a Service that a Local traffic policy leaves without an endpoint on this node.
func (c *pendingChanges) countNoLocal(s *plan.Service, delta int, metrics *Metrics) {
	seen := map[noLocal]map[string]bool{}
	for _, f := range s.Frontends {
		if f.Verdict != plan.Drop {
			continue
		}
		label := noLocal{"external", f.Key.Family()}
		if slices.Contains(s.ClusterIPs, f.Key.Addr) {
			label.policy = "internal"
		}
		if seen[label] == nil {
			seen[label] = map[string]bool{}
		}
		seen[label][f.PortName] = true
	}
	for label, ports := range seen {
		c.noLocal[label] += delta * len(ports)
		metrics.noLocal.WithLabelValues(label.policy, label.family.String()).Set(float64(c.noLocal[label]))
	}
}

// sortedRefs returns the keys of a set in order, so that logs and backends see changes in a stable one.
func sortedRefs(set map[model.Ref]struct{}) []model.Ref {
	out := make([]model.Ref, 0, len(set))
	for ref := range set {
		out = append(out, ref)
	}
	slices.SortFunc(out, func(a, b model.Ref) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}
