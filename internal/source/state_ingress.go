package source

import (
	"reflect"

	"github.com/switchyard-net/switchyard/internal/model"
)

// ingress sets the Ingress of that name, or removes it where next is nil. Its status is apart: who serves it has no use for that.
func (e *edition) ingress(ref model.Ref, prev, next *model.Ingress) {
	t := &e.state.snap.Ingresses
	if next == nil {
		*t = t.Without(ref)
	} else {
		*t = t.WithIn(e.tables, ref, next)
	}
	matter, status := true, true
	if prev != nil && next != nil {
		status = !reflect.DeepEqual(prev.Status, next.Status)
		then, now := *prev, *next
		then.Status, now.Status = nil, nil
		matter = !reflect.DeepEqual(then, now)
	}
	e.mark(func(p *pending) {
		if matter {
			note(&p.Ingresses, ref)
		}
		if status {
			note(&p.IngressStatuses, ref)
		}
	})
}

// ingressClass sets the IngressClass of that name, or removes it where next is nil.
func (e *edition) ingressClass(ref model.Ref, _, next *model.IngressClass) {
	t := &e.state.snap.IngressClasses
	if next == nil {
		*t = t.Without(ref.Name)
	} else {
		*t = t.WithIn(e.tables, ref.Name, next)
	}
	e.mark(func(p *pending) { p.IngressClasses = true })
}

// secret sets the Secret of that name, or forgets it where next is nil.
func (e *edition) secret(ref model.Ref, next *model.Secret) {
	t := &e.state.snap.Secrets
	if held, ok := t.Get(ref); ok == (next != nil) && reflect.DeepEqual(held, next) {
		return
	}
	if next == nil {
		*t = t.Without(ref)
	} else {
		*t = t.WithIn(e.tables, ref, next)
	}
	e.mark(func(p *pending) { note(&p.Secrets, ref) })
}

// configMap sets the ConfigMap of that name, or forgets it where next is nil.
func (e *edition) configMap(ref model.Ref, next *model.ConfigMap) {
	t := &e.state.snap.ConfigMaps
	if held, ok := t.Get(ref); ok == (next != nil) && reflect.DeepEqual(held, next) {
		return
	}
	if next == nil {
		*t = t.Without(ref)
	} else {
		*t = t.WithIn(e.tables, ref, next)
	}
	e.mark(func(p *pending) { note(&p.ConfigMaps, ref) })
}
