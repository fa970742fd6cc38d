package manifest

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/source"
)

// pageSize bounds what one request to the API server returns.
const pageSize = 500

// FromCluster reads the Ingresses, IngressClasses and Services of a cluster, or of one namespace ("": all). Secrets and ConfigMaps are
// read by Fetch, which is told their names.
func FromCluster(ctx context.Context, client kubernetes.Interface, namespace string) (*Objects, error) {
	o := &Objects{Places: map[model.Ref]string{}}
	s := &o.Snapshot
	err := pages(func(opts metav1.ListOptions) (string, error) {
		l, err := client.NetworkingV1().Ingresses(namespace).List(ctx, opts)
		if err != nil {
			return "", fmt.Errorf("list Ingresses: %w", err)
		}
		for i := range l.Items {
			v := source.Ingress(&l.Items[i])
			s.Ingresses = s.Ingresses.With(v.Ref, v)
		}
		return l.Continue, nil
	})
	if err != nil {
		return nil, err
	}
	classes, err := client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list IngressClasses: %w", err)
	}
	for i := range classes.Items {
		v := source.IngressClass(&classes.Items[i])
		s.IngressClasses = s.IngressClasses.With(v.Name, v)
	}
	err = pages(func(opts metav1.ListOptions) (string, error) {
		l, err := client.CoreV1().Services(namespace).List(ctx, opts)
		if err != nil {
			return "", fmt.Errorf("list Services: %w", err)
		}
		for i := range l.Items {
			v := source.Service(&l.Items[i])
			s.Services = s.Services.With(v.Ref, v)
		}
		return l.Continue, nil
	})
	return o, err
}

func pages(list func(metav1.ListOptions) (string, error)) error {
	opts := metav1.ListOptions{Limit: pageSize}
	for {
		next, err := list(opts)
		if err != nil || next == "" {
			return err
		}
		opts.Continue = next
	}
}

// Fetch reads Secrets and ConfigMaps by name. One that does not exist, or may not be read, has a Problem that says so.
func (o *Objects) Fetch(ctx context.Context, client kubernetes.Interface, secrets, configMaps []model.Ref) error {
	s := &o.Snapshot
	for _, ref := range secrets {
		x, err := client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		v := &model.Secret{Ref: ref}
		if v.Problem = whyNot(err); v.Problem == "" && err == nil {
			v = source.Secret(x)
		} else if v.Problem == "" {
			return fmt.Errorf("read Secret %s: %w", ref, err)
		}
		s.Secrets = s.Secrets.With(ref, v)
	}
	for _, ref := range configMaps {
		x, err := client.CoreV1().ConfigMaps(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		v := &model.ConfigMap{Ref: ref}
		if v.Problem = whyNot(err); v.Problem == "" && err == nil {
			v = source.ConfigMap(x)
		} else if v.Problem == "" {
			return fmt.Errorf("read ConfigMap %s: %w", ref, err)
		}
		s.ConfigMaps = s.ConfigMaps.With(ref, v)
	}
	return nil
}

// whyNot returns what is wrong with an object by the error of reading it; "": nothing, or the error is of another kind.
func whyNot(err error) string {
	switch {
	case apierrors.IsNotFound(err):
		return "does not exist"
	case apierrors.IsForbidden(err):
		return "may not be read by who runs this"
	}
	return ""
}
