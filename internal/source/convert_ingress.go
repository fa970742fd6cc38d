package source

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/switchyard-net/switchyard/internal/model"
)

const (
	// DefaultAnnotationPrefix is that of ingress-nginx.
	DefaultAnnotationPrefix = "nginx.ingress.kubernetes.io"
	// ownPrefix is that of annotations of our own.
	ownPrefix = "switchyard.net/"
	// classAnnotation names a class in Ingresses older than spec.ingressClassName.
	classAnnotation = "kubernetes.io/ingress.class"
)

// Ingress returns the facts of o, nil for nil, with the annotations of ingress-nginx's usual prefix.
func Ingress(o *networkingv1.Ingress) *model.Ingress {
	return converter{annotationPrefix: DefaultAnnotationPrefix}.ingress(o)
}

func (c converter) ingress(o *networkingv1.Ingress) *model.Ingress {
	if o == nil {
		return nil
	}
	i := &model.Ingress{
		Ref:             model.Ref{Namespace: c.strings.of(o.Namespace), Name: o.Name},
		UID:             string(o.UID),
		Created:         o.CreationTimestamp.UTC(),
		Generation:      o.Generation,
		Class:           c.strings.of(deref(o.Spec.IngressClassName)),
		ClassAnnotation: c.strings.of(o.Annotations[classAnnotation]),
		Annotations:     c.annotations(o.Annotations),
		Status:          ingressAddresses(o.Status.LoadBalancer.Ingress),
	}
	for _, t := range o.Spec.TLS {
		i.TLS = append(i.TLS, model.IngressTLS{Hosts: slices.Clone(t.Hosts), Secret: t.SecretName})
	}
	for _, r := range o.Spec.Rules {
		i.Rules = append(i.Rules, c.ingressRule(r))
	}
	if o.Spec.DefaultBackend != nil {
		b := c.ingressBackend(o.Spec.DefaultBackend)
		i.Default = &b
	}
	return i
}

func (c converter) ingressRule(r networkingv1.IngressRule) model.IngressRule {
	out := model.IngressRule{Host: r.Host}
	if r.HTTP == nil {
		return out
	}
	for i := range r.HTTP.Paths {
		p := &r.HTTP.Paths[i]
		path := model.IngressPath{Path: c.strings.of(p.Path), Backend: c.ingressBackend(&p.Backend)}
		if p.PathType != nil {
			switch *p.PathType {
			case networkingv1.PathTypePrefix:
				path.Type = model.PathPrefix
			case networkingv1.PathTypeExact:
				path.Type = model.PathExact
			}
		}
		out.Paths = append(out.Paths, path)
	}
	return out
}

func (c converter) ingressBackend(b *networkingv1.IngressBackend) model.IngressBackend {
	if b.Service != nil {
		port, _ := parsePort(b.Service.Port.Number)
		return model.IngressBackend{Service: c.strings.of(b.Service.Name), PortName: c.strings.of(b.Service.Port.Name), Port: port}
	}
	return model.IngressBackend{Resource: resourceName(b.Resource)}
}

// resourceName returns "KIND.GROUP/NAME", "" for nil.
func resourceName(r *corev1.TypedLocalObjectReference) string {
	if r == nil {
		return ""
	}
	kind := r.Kind
	if group := deref(r.APIGroup); group != "" {
		kind += "." + group
	}
	return kind + "/" + r.Name
}

// annotations returns those that we read, ordered by name.
func (c converter) annotations(in map[string]string) model.Annotations {
	var out model.Annotations
	for name, value := range in {
		if rest, ok := strings.CutPrefix(name, c.annotationPrefix+"/"); ok {
			out = append(out, model.Annotation{Name: c.strings.of(rest), Value: c.strings.of(value)})
		} else if strings.HasPrefix(name, ownPrefix) {
			out = append(out, model.Annotation{Name: c.strings.of(name), Value: c.strings.of(value)})
		}
	}
	slices.SortFunc(out, func(a, b model.Annotation) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func ingressAddresses(in []networkingv1.IngressLoadBalancerIngress) []model.IngressAddress {
	var out []model.IngressAddress
	for _, e := range in {
		a := model.IngressAddress{Hostname: e.Hostname}
		a.Addr, _ = parseAddr(e.IP)
		out = append(out, a)
	}
	return out
}

// defaultClass marks the class of Ingresses that name none.
const defaultClass = networkingv1.AnnotationIsDefaultIngressClass

// IngressClass returns the facts of o, nil for nil.
func IngressClass(o *networkingv1.IngressClass) *model.IngressClass {
	if o == nil {
		return nil
	}
	c := &model.IngressClass{
		Name: o.Name, Created: o.CreationTimestamp.UTC(), Controller: o.Spec.Controller, Default: o.Annotations[defaultClass] == "true",
	}
	if p := o.Spec.Parameters; p != nil {
		c.Parameters = resourceName(&corev1.TypedLocalObjectReference{APIGroup: p.APIGroup, Kind: p.Kind, Name: p.Name})
	}
	return c
}
