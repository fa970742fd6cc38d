package source

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Secret returns the facts of o, nil for nil.
func Secret(o *corev1.Secret) *model.Secret {
	if o == nil {
		return nil
	}
	s := &model.Secret{Ref: refOf(o), UID: string(o.UID), Data: maps.Clone(o.Data)}
	if len(o.StringData) > 0 && s.Data == nil { // a manifest's; the API server moves it to data
		s.Data = map[string][]byte{}
	}
	for key, value := range o.StringData {
		s.Data[key] = []byte(value)
	}
	return s
}

// ConfigMap returns the facts of o, nil for nil.
func ConfigMap(o *corev1.ConfigMap) *model.ConfigMap {
	if o == nil {
		return nil
	}
	return &model.ConfigMap{Ref: refOf(o), UID: string(o.UID), Data: maps.Clone(o.Data)}
}

func secretsOf(client kubernetes.Interface) namedKind {
	return namedKind{
		kind: Secrets,
		in: func(namespace string) resource {
			api := client.CoreV1().Secrets(namespace)
			return resource{
				kind: Secrets, watch: api.Watch,
				list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
					l, err := api.List(ctx, o)
					if err != nil {
						return page{}, err
					}
					return pageOf[corev1.Secret](l.ListMeta, l.Items), nil
				},
			}
		},
		put: func(e *edition, ref model.Ref, o runtime.Object, problem string) {
			if s, ok := o.(*corev1.Secret); ok {
				e.secret(ref, Secret(s))
			} else {
				e.secret(ref, &model.Secret{Ref: ref, Problem: problem})
			}
		},
		forget: func(e *edition, ref model.Ref) { e.secret(ref, nil) },
	}
}

func configMapsOf(client kubernetes.Interface) namedKind {
	return namedKind{
		kind: ConfigMaps,
		in: func(namespace string) resource {
			api := client.CoreV1().ConfigMaps(namespace)
			return resource{
				kind: ConfigMaps, watch: api.Watch,
				list: func(ctx context.Context, o metav1.ListOptions) (page, error) {
					l, err := api.List(ctx, o)
					if err != nil {
						return page{}, err
					}
					return pageOf[corev1.ConfigMap](l.ListMeta, l.Items), nil
				},
			}
		},
		put: func(e *edition, ref model.Ref, o runtime.Object, problem string) {
			if c, ok := o.(*corev1.ConfigMap); ok {
				e.configMap(ref, ConfigMap(c))
			} else {
				e.configMap(ref, &model.ConfigMap{Ref: ref, Problem: problem})
			}
		},
		forget: func(e *edition, ref model.Ref) { e.configMap(ref, nil) },
	}
}
