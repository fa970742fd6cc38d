package churn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"
)

// maxChanges is how many changes of one Service its addresses can tell apart.
const maxChanges = 1 << 16

// address is that of an endpoint of a Service in a state.
func address(service, number, endpoint int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(service + services*endpoint), byte(number >> 8), byte(number)})
}

// numberOf returns which state of a Service the addresses are those of; false: of none.
func numberOf(service int, addresses [][4]byte) (int, bool) {
	if len(addresses) != endpoints {
		return 0, false
	}
	number := int(addresses[0][2])<<8 | int(addresses[0][3])
	var found [endpoints]bool
	for _, a := range addresses {
		for e := range endpoints {
			found[e] = found[e] || address(service, number, e).As4() == a
		}
	}
	return number, found == [endpoints]bool{true, true, true}
}

// create creates all Services, in state 0.
func (r *run) create(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range services {
		group.Go(func() error {
			r.histories[i].begin(false, time.Now())
			_, slicing := r.config.Client.DiscoveryV1().EndpointSlices(r.config.Namespace).Create(ctx, slice(i, 0), metav1.CreateOptions{})
			if err := errors.Join(slicing, r.createService(ctx, i)); err != nil {
				return fmt.Errorf("create %s: %w", serviceName(i), err)
			}
			r.histories[i].accept(time.Now())
			return nil
		})
	}
	return group.Wait()
}

func (r *run) createService(ctx context.Context, i int) error {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: serviceName(i)},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
	_, err := r.config.Client.CoreV1().Services(r.config.Namespace).Create(ctx, s, metav1.CreateOptions{})
	return err
}

// slice is that of a Service in a state.
func slice(i, number int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: serviceName(i), Labels: map[string]string{discoveryv1.LabelServiceName: serviceName(i)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	for e := range endpoints {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address(i, number, e).String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
		})
	}
	return s
}

// write changes Services of its own, one after the other, until asking is done; ctx bounds the changes themselves.
func (r *run) write(asking, ctx context.Context, writer int) error {
	random := rand.New(rand.NewPCG(uint64(writer), 1))
	for asking.Err() == nil {
		i := writer + writers*random.IntN(services/writers)
		if err := r.change(ctx, i, random.IntN(8) == 0); err != nil {
			return fmt.Errorf("change %s: %w", serviceName(i), err)
		}
		r.mu.Lock()
		r.result.Changes++
		r.mu.Unlock()
	}
	return nil
}

// change brings a Service to its next state. One that is absent comes back.
func (r *run) change(ctx context.Context, i int, remove bool) error {
	h := r.histories[i]
	h.mu.Lock()
	number, wasAbsent := len(h.states), h.states[len(h.states)-1].absent
	h.mu.Unlock()
	if number == maxChanges {
		return fmt.Errorf("more than %d changes", maxChanges)
	}
	remove = remove && !wasAbsent
	h.begin(remove, time.Now())
	var err error
	if remove {
		err = r.config.Client.CoreV1().Services(r.config.Namespace).Delete(ctx, serviceName(i), metav1.DeleteOptions{})
	} else {
		_, err = r.config.Client.DiscoveryV1().EndpointSlices(r.config.Namespace).Update(ctx, slice(i, number), metav1.UpdateOptions{})
	}
	if err == nil && wasAbsent {
		err = r.createService(ctx, i)
	}
	h.accept(time.Now())
	return err
}

// remove removes what create has made.
func (r *run) remove(ctx context.Context) error {
	var errs []error
	for i := range services {
		errs = append(errs,
			r.config.Client.CoreV1().Services(r.config.Namespace).Delete(ctx, serviceName(i), metav1.DeleteOptions{}),
			r.config.Client.DiscoveryV1().EndpointSlices(r.config.Namespace).Delete(ctx, serviceName(i), metav1.DeleteOptions{}))
	}
	for i, err := range errs {
		if apierrors.IsNotFound(err) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
