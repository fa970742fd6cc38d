package server

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	corednsplugin "github.com/coredns/coredns/plugin"
)

// reloadDirective is `reload [INTERVAL] [JITTER]`, with the meaning that it has in CoreDNS 1.15 (plugin/reload). CoreDNS's
// own reads the Corefile where the command line of the process says, and restarts an instance without telling its host.
const reloadDirective = "reload"

// The limits and defaults of plugin/reload.
const (
	minReloadInterval     = 2 * time.Second
	minReloadJitter       = time.Second
	defaultReloadInterval = 30 * time.Second
	defaultReloadJitter   = 15 * time.Second
)

// reloadKey is where the storage of a caddy.Instance has the time.Duration between two looks at the Corefile.
type reloadKey struct{}

// setupReload reads the directive.
func setupReload(c *caddy.Controller) error {
	interval, err := parseReload(c)
	if err != nil {
		return corednsplugin.Error(reloadDirective, err)
	}
	_ = dnsserver.GetConfig(c) // the directive belongs in a server block
	c.Set(reloadKey{}, interval)
	return nil
}

func parseReload(c *caddy.Controller) (time.Duration, error) {
	c.Next()
	args := c.RemainingArgs()
	durations := [2]time.Duration{defaultReloadInterval, defaultReloadJitter}
	if len(args) > len(durations) {
		return 0, c.ArgErr()
	}
	for i, arg := range args {
		d, err := time.ParseDuration(arg)
		if err != nil {
			return 0, c.Err(err.Error())
		}
		durations[i] = d
	}
	interval, jitter := durations[0], durations[1]
	if interval < minReloadInterval {
		return 0, c.Err(fmt.Sprintf("interval value must be greater or equal to %v", minReloadInterval))
	}
	if jitter != 0 && jitter < minReloadJitter {
		return 0, c.Err(fmt.Sprintf("jitter value must be 0 or greater or equal to %v", minReloadJitter))
	}
	if jitter = min(jitter, interval/2); jitter > 0 {
		interval += rand.N(jitter) - jitter/2
	}
	return interval, nil
}

// reloadInterval returns how often an instance looks for a change of its Corefile; 0: never.
func reloadInterval(instance *caddy.Instance) time.Duration {
	instance.StorageMu.RLock()
	defer instance.StorageMu.RUnlock()
	interval, _ := instance.Storage[reloadKey{}].(time.Duration)
	return interval
}
