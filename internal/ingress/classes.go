package ingress

import "github.com/switchyard-net/switchyard/internal/model"

// The controllers whose IngressClasses are ours, unless we are told otherwise.
const (
	ControllerNginx = "k8s.io/ingress-nginx" // so that those who leave ingress-nginx need not touch their classes
	ControllerOwn   = "switchyard.net/ingress"
)

// Classes says which Ingresses an entry serves.
type Classes struct {
	// Controllers are those whose IngressClasses are ours (spec.controller).
	Controllers []string
	// Name is the value of the annotation kubernetes.io/ingress.class that is ours.
	Name string
	// ByName makes the IngressClass called Name ours, whatever its controller.
	ByName bool
	// WithoutClass serves Ingresses that name no class, also where none of our classes is the default one.
	WithoutClass bool
}

// DefaultClasses returns those of ingress-nginx, with our own controller besides.
func DefaultClasses() Classes {
	return Classes{Controllers: []string{ControllerNginx, ControllerOwn}, Name: "nginx"}
}

// owned is which classes of a snapshot are ours.
type owned struct {
	names map[string]struct{}
	// byDefault is true where Ingresses without a class are ours.
	byDefault bool
	// annotation is the value of the old annotation that is ours.
	annotation string
}

func (c Classes) in(snap *model.Snapshot) owned {
	o := owned{names: map[string]struct{}{}, byDefault: c.WithoutClass, annotation: c.Name}
	for name, class := range snap.IngressClasses.All() {
		ours := c.ByName && name == c.Name
		for _, controller := range c.Controllers {
			ours = ours || class.Controller == controller
		}
		if ours {
			o.names[name] = struct{}{}
			o.byDefault = o.byDefault || class.Default
		}
	}
	return o
}

// Owns returns which Ingresses of a snapshot are ours. Where partial is true, classes may be missing from the snapshot: one that is
// counts as ours if it is called Name, and so does none at all.
func (c Classes) Owns(snap *model.Snapshot, partial bool) func(*model.Ingress) bool {
	o := c.in(snap)
	return func(i *model.Ingress) bool {
		if o.has(i) || !partial {
			return o.has(i)
		}
		if i.Class == "" {
			return i.ClassAnnotation == ""
		}
		_, known := snap.IngressClasses.Get(i.Class)
		return !known && i.Class == c.Name
	}
}

// has reports whether an Ingress is ours: by spec.ingressClassName, else by the annotation, else by default, as in ingress-nginx.
func (o owned) has(i *model.Ingress) bool {
	switch {
	case i.Class != "":
		_, ours := o.names[i.Class]
		return ours
	case i.ClassAnnotation != "":
		return i.ClassAnnotation == o.annotation
	}
	return o.byDefault
}
