package apiserver

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// CreateService creates a Service with its only slice, which no controller does here.
func CreateService(ctx context.Context, client kubernetes.Interface, namespace string, service *corev1.Service, slice *discoveryv1.EndpointSlice) error {
	err := insist(func() error {
		_, err := client.CoreV1().Services(namespace).Create(ctx, service, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("create Service %s: %w", service.Name, err)
	}
	err = insist(func() error {
		_, err := client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, slice, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("create EndpointSlice %s: %w", slice.Name, err)
	}
	return nil
}

// insist tries again to create an object when the API server, on a busy machine, did not answer in time: it may have
// created it all the same.
func insist(create func() error) error {
	const tries = 5
	err := create()
	for range tries - 1 {
		if !apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) {
			return err
		}
		if err = create(); apierrors.IsAlreadyExists(err) {
			return nil
		}
	}
	return err
}
