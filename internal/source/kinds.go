package source

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
)

// resource is how one kind is asked for.
type resource struct {
	kind Kind
	// group is the API group as RBAC rules name it.
	group string
	// optional is true for a kind that an API server may not have; it then counts as empty.
	optional     bool
	label, field string // selectors
	list         func(context.Context, metav1.ListOptions) (page, error)
	watch        func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// page is a part of a list.
type page struct {
	version, next string // resource version, and the token for the next page ("": this was the last)
	items         []runtime.Object
}

// object is a pointer to an API object of type T.
type object[T any] interface {
	*T
	runtime.Object
}

func pageOf[T any, P object[T]](meta metav1.ListMeta, items []T) page {
	p := page{version: meta.ResourceVersion, next: meta.Continue, items: make([]runtime.Object, len(items))}
	for i := range items {
		p.items[i] = P(&items[i])
	}
	return p
}

// newFeed returns the feed of kind, which writes into st.
func newFeed(kind Kind, cfg Config, deps Deps, st *state, m *metrics) *feed {
	c := converter{strings: newInterner(), omitPodNames: cfg.OmitPodNames, keepLabels: cfg.Labels, annotationPrefix: cfg.AnnotationPrefix}
	switch kind {
	case Services:
		return feedOf(servicesResource(deps.Client, cfg), deps, st, m, c.service, (*edition).service)
	case EndpointSlices:
		return feedOf(slicesResource(deps.Client, cfg), deps, st, m, c.endpointSlice, (*edition).slice)
	case Nodes:
		return feedOf(nodesResource(deps.Client, cfg), deps, st, m, c.node, (*edition).node)
	case Namespaces:
		return feedOf(namespacesResource(deps.Client), deps, st, m, c.namespace, (*edition).namespace)
	case Pods:
		return feedOf(podsResource(deps.Client, cfg), deps, st, m, c.pod, (*edition).pod)
	case Ingresses:
		return feedOf(ingressesResource(deps.Client, cfg), deps, st, m, c.ingress, (*edition).ingress)
	case IngressClasses:
		return feedOf(ingressClassesResource(deps.Client), deps, st, m, IngressClass, (*edition).ingressClass)
	default:
		return feedOf(serviceCIDRsResource(deps.Client), deps, st, m, ServiceCIDR, (*edition).serviceCIDR)
	}
}

func feedOf[T, V any, P object[T]](r resource, deps Deps, st *state, m *metrics,
	convert func(P) *V, put func(*edition, model.Ref, *V, *V),
) *feed {
	return &feed{
		resource: r,
		log:      deps.Log.With("kind", string(r.kind)),
		metrics:  m.of(r.kind),
		stream:   true,
		store: &mirror[V]{
			state: st, kind: r.kind, put: put, held: map[model.Ref]*V{},
			convert: func(o runtime.Object) *V {
				if p, ok := o.(P); ok {
					return convert(p)
				}
				return nil
			},
		},
	}
}

func servicesResource(client kubernetes.Interface, cfg Config) resource {
	api := client.CoreV1().Services(cfg.Namespace)
	return resource{
		kind: Services, label: cfg.ServiceSelector, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[corev1.Service](l.ListMeta, l.Items), nil
		},
	}
}

func slicesResource(client kubernetes.Interface, cfg Config) resource {
	api := client.DiscoveryV1().EndpointSlices(cfg.Namespace)
	return resource{
		kind: EndpointSlices, group: discoveryv1.GroupName, label: cfg.SliceSelector, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[discoveryv1.EndpointSlice](l.ListMeta, l.Items), nil
		},
	}
}

func nodesResource(client kubernetes.Interface, cfg Config) resource {
	api := client.CoreV1().Nodes()
	r := resource{
		kind: Nodes, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[corev1.Node](l.ListMeta, l.Items), nil
		},
	}
	if cfg.NodeName != "" {
		r.field = fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.NodeName).String()
	}
	return r
}

func namespacesResource(client kubernetes.Interface) resource {
	api := client.CoreV1().Namespaces()
	return resource{
		kind: Namespaces, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[corev1.Namespace](l.ListMeta, l.Items), nil
		},
	}
}

// serviceCIDRsResource reads a kind that is GA since Kubernetes 1.33 (KEP-1880).
func serviceCIDRsResource(client kubernetes.Interface) resource {
	api := client.NetworkingV1().ServiceCIDRs()
	return resource{
		kind: ServiceCIDRs, group: networkingv1.GroupName, optional: true, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[networkingv1.ServiceCIDR](l.ListMeta, l.Items), nil
		},
	}
}

func ingressesResource(client kubernetes.Interface, cfg Config) resource {
	api := client.NetworkingV1().Ingresses(cfg.Namespace)
	return resource{
		kind: Ingresses, group: networkingv1.GroupName, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[networkingv1.Ingress](l.ListMeta, l.Items), nil
		},
	}
}

func ingressClassesResource(client kubernetes.Interface) resource {
	api := client.NetworkingV1().IngressClasses()
	return resource{
		kind: IngressClasses, group: networkingv1.GroupName, watch: api.Watch,
		list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
			l, err := api.List(ctx, o)
			if err != nil {
				return page{}, err
			}
			return pageOf[networkingv1.IngressClass](l.ListMeta, l.Items), nil
		},
	}
}
