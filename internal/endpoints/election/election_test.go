package election

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// candidate is one process of the tests. work counts itself in atWork while it runs and takes stopping to end.
type candidate struct {
	elector *Elector
	atWork  *atomic.Int32
	cancel  context.CancelFunc
	ended   chan error
}

const stopping = time.Second

func stand(t *testing.T, client kubernetes.Interface, identity string, atWork *atomic.Int32) *candidate {
	t.Helper()
	elector, err := New(Defaults(), Deps{Client: client, Identity: identity, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &candidate{elector: elector, atWork: atWork, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		c.ended <- elector.Run(ctx, func(ctx context.Context) error {
			if now := atWork.Add(1); now != 1 {
				t.Errorf("%d processes at work at once", now)
			}
			<-ctx.Done()
			time.Sleep(stopping)
			atWork.Add(-1)
			return nil
		})
	}()
	return c
}

// leaseless returns a client over the same objects whose requests fail while cut is true.
func leaseless(shared *fake.Clientset, cut *atomic.Bool) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if cut.Load() {
			return true, nil, errors.New("no route to the API server")
		}
		obj, err := shared.Invokes(action, nil)
		return true, obj, err
	})
	return client
}

func TestCleanStopHandsOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atWork atomic.Int32
		client := fake.NewClientset()
		first := stand(t, client, "first", &atWork)
		synctest.Wait()
		second := stand(t, client, "second", &atWork)
		time.Sleep(5 * time.Second)
		if !first.elector.Leading() || second.elector.Leading() {
			t.Fatalf("first leads: %t, second: %t; want only first", first.elector.Leading(), second.elector.Leading())
		}
		if leader := second.elector.Leader(); leader != "first" {
			t.Errorf("the standby takes %q for the leader, want first", leader)
		}
		first.cancel()
		if err := <-first.ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		// Far less than the lease's 15 s: it was given back.
		time.Sleep(6 * time.Second)
		if !second.elector.Leading() {
			t.Error("the standby does not lead 6 s after the leader stopped cleanly")
		}
		second.cancel()
		<-second.ended
	})
}

func TestLostLeaseStopsTheWorkBeforeAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atWork atomic.Int32
		var cut atomic.Bool
		shared := fake.NewClientset()
		first := stand(t, leaseless(shared, &cut), "first", &atWork)
		time.Sleep(time.Second)
		second := stand(t, shared, "second", &atWork)
		time.Sleep(time.Second)
		cut.Store(true)
		time.Sleep(30 * time.Second)
		if first.elector.Leading() || !second.elector.Leading() {
			t.Fatalf("first leads: %t, second: %t; want only second", first.elector.Leading(), second.elector.Leading())
		}
		cut.Store(false)
		second.cancel()
		<-second.ended
		time.Sleep(10 * time.Second)
		if !first.elector.Leading() {
			t.Error("the process that lost the lease does not stand again")
		}
		first.cancel()
		<-first.ended
	})
}

func TestStoppedStandbyReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atWork atomic.Int32
		client := fake.NewClientset()
		first := stand(t, client, "first", &atWork)
		synctest.Wait()
		second := stand(t, client, "second", &atWork)
		time.Sleep(time.Second)
		second.cancel()
		if err := <-second.ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		first.cancel()
		<-first.ended
	})
}

func TestFailedWorkEndsTheProcessAndGivesTheLeaseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		failing, err := New(Defaults(), Deps{Client: client, Identity: "failing", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		if err := failing.Run(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Run returned %v, want the work's error", err)
		}
		var atWork atomic.Int32
		next := stand(t, client, "next", &atWork)
		time.Sleep(2 * time.Second)
		if !next.elector.Leading() {
			t.Error("the lease was not given back")
		}
		next.cancel()
		<-next.ended
	})
}

func TestValidateNamesTheFlag(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for flag, change := range map[string]func(*Config){
		"--leader-elect-resource-name":  func(c *Config) { c.Name = "" },
		"--leader-elect-lease-duration": func(c *Config) { c.LeaseDuration = c.RenewDeadline },
		"--leader-elect-renew-deadline": func(c *Config) { c.RenewDeadline = c.RetryPeriod },
		"--leader-elect-retry-period":   func(c *Config) { c.RetryPeriod = 0 },
	} {
		cfg := Defaults()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: the error is %v, want one that names it", flag, err)
		}
	}
}
