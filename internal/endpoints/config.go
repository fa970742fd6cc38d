package endpoints

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of the knobs, as kube-controller-manager 1.37 has them (cmd/kube-controller-manager/app/options). The upper
// bound of a slice is the API's own: a larger EndpointSlice is refused by validation.
const (
	maxSyncs                 = 50
	maxSliceLength           = 1000
	defaultSyncs             = 5
	defaultSliceLength       = 100
	defaultMirroredPerSubset = 1000
	defaultResync            = 12 * time.Hour
	batchPeriodWayOut        = "use 0s, the default, to write every change at once"
	flagResync               = "--min-resync-period"
	flagSliceLength          = "--max-endpoints-per-slice"
	flagSliceSyncs           = "--concurrent-service-endpoint-syncs"
	flagSliceBatch           = "--endpointslice-updates-batch-period"
	flagEndpointsSyncs       = "--concurrent-endpoint-syncs"
	flagEndpointsBatch       = "--endpoint-updates-batch-period"
	flagMirroredPerSubset    = "--mirroring-max-endpoints-per-subset"
	flagMirroringSyncs       = "--mirroring-concurrent-service-endpoint-syncs"
	flagMirroringBatch       = "--mirroring-endpointslice-updates-batch-period"
)

// Config holds the knobs of the three controllers. Names, defaults and bounds are those of kube-controller-manager.
type Config struct {
	// Slices tunes the EndpointSlice controller.
	Slices SlicesConfig
	// Endpoints tunes the Endpoints controller.
	Endpoints LegacyConfig
	// Mirroring tunes the controller that mirrors hand-made Endpoints to EndpointSlices.
	Mirroring MirroringConfig
	// Resync is how often every Service is synced again though nothing was seen to change.
	Resync time.Duration
}

// SlicesConfig tunes the EndpointSlice controller.
type SlicesConfig struct {
	// MaxEndpointsPerSlice is how many endpoints one slice holds at most, 1 to 1000.
	MaxEndpointsPerSlice int32
	// ConcurrentSyncs is how many Services are synced at once, 1 to 50.
	ConcurrentSyncs int
	// UpdatesBatchPeriod delays the sync that a pod's change asks for, so that changes close together are one write.
	UpdatesBatchPeriod time.Duration
}

// LegacyConfig tunes the controller of Endpoints, the API that EndpointSlices replaced.
type LegacyConfig struct {
	// ConcurrentSyncs is how many Services are synced at once, 1 to 50.
	ConcurrentSyncs int
	// UpdatesBatchPeriod delays the sync that a pod's change asks for, so that changes close together are one write.
	UpdatesBatchPeriod time.Duration
}

// MirroringConfig tunes the mirroring controller.
type MirroringConfig struct {
	// MaxEndpointsPerSubset is how many addresses of one subset are mirrored, 1 to 1000; an Event says so when some
	// are left out.
	MaxEndpointsPerSubset int32
	// ConcurrentSyncs is how many Endpoints are synced at once, 1 to 50.
	ConcurrentSyncs int
	// UpdatesBatchPeriod delays the sync that an EndpointSlice's change asks for.
	UpdatesBatchPeriod time.Duration
}

// Defaults returns the defaults of kube-controller-manager 1.37.
func Defaults() Config {
	return Config{
		Slices:    SlicesConfig{MaxEndpointsPerSlice: defaultSliceLength, ConcurrentSyncs: defaultSyncs},
		Endpoints: LegacyConfig{ConcurrentSyncs: defaultSyncs},
		Mirroring: MirroringConfig{MaxEndpointsPerSubset: defaultMirroredPerSubset, ConcurrentSyncs: defaultSyncs},
		Resync:    defaultResync,
	}
}

// Validate returns one error for each knob out of bounds, joined. Each names the flag and the way out.
func (c Config) Validate() error {
	return errors.Join(
		inRange(flagSliceLength, int(c.Slices.MaxEndpointsPerSlice), maxSliceLength, defaultSliceLength),
		inRange(flagSliceSyncs, c.Slices.ConcurrentSyncs, maxSyncs, defaultSyncs),
		notNegative(flagSliceBatch, c.Slices.UpdatesBatchPeriod, batchPeriodWayOut),
		inRange(flagEndpointsSyncs, c.Endpoints.ConcurrentSyncs, maxSyncs, defaultSyncs),
		notNegative(flagEndpointsBatch, c.Endpoints.UpdatesBatchPeriod, batchPeriodWayOut),
		inRange(flagMirroredPerSubset, int(c.Mirroring.MaxEndpointsPerSubset),
			maxSliceLength, defaultMirroredPerSubset),
		inRange(flagMirroringSyncs, c.Mirroring.ConcurrentSyncs, maxSyncs, defaultSyncs),
		notNegative(flagMirroringBatch, c.Mirroring.UpdatesBatchPeriod, batchPeriodWayOut),
		notNegative(flagResync, c.Resync, "use 0s to sync on changes only, or 12h0m0s, the default"),
	)
}

// inRange returns an error if the value of a flag is not between 1 and highest; usual is its default.
func inRange(flag string, value, highest, usual int) error {
	if value >= 1 && value <= highest {
		return nil
	}
	return fmt.Errorf("%s=%d: must be between 1 and %d; leave it out for %d, the default",
		flag, value, highest, usual)
}

func notNegative(flag string, value time.Duration, wayOut string) error {
	if value >= 0 {
		return nil
	}
	return fmt.Errorf("%s=%s: must not be negative; %s", flag, value, wayOut)
}
