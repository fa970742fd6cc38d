package cli

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-net/switchyard/internal/config"
	"github.com/switchyard-net/switchyard/internal/ingress"
	"github.com/switchyard-net/switchyard/internal/ingress/native"
	"github.com/switchyard-net/switchyard/internal/ingress/nginx"
)

// newIngressEngine returns the engine of a configuration. access gets the access log.
func newIngressEngine(c *config.Ingress, registry *prometheus.Registry, access io.Writer, log *slog.Logger) (ingress.Engine, error) {
	if c.Engine == config.EngineNginx {
		return newNginxEngine(c, access, log)
	}
	engine, err := native.New(native.Config{
		HTTP: listenAt(c, c.Listen.HTTP), HTTPS: listenAt(c, c.Listen.HTTPS), Loops: c.Listen.Loops, Drain: c.Shutdown.Drain,
		HTTP3: c.Listen.HTTP3, Passthrough: c.Listen.Passthrough,
	}, native.Deps{Log: log, Access: access, Metrics: registry})
	if err != nil {
		return nil, fmt.Errorf("make the native engine: %w", err)
	}
	return engine, nil
}

// newNginxEngine returns the engine of the system's nginx.
func newNginxEngine(c *config.Ingress, access io.Writer, log *slog.Logger) (ingress.Engine, error) {
	entry := nginx.Entry{HTTPPort: uint16(c.Listen.HTTP), HTTPSPort: uint16(c.Listen.HTTPS), Workers: c.Listen.Loops}
	for _, a := range c.Listen.Addresses {
		entry.Addresses = append(entry.Addresses, netip.MustParseAddr(a))
	}
	engine, err := nginx.Open(nginx.Options{
		Config: nginx.Config{Entry: entry}, Dir: filepath.Join(os.TempDir(), "switchyard-nginx"), Drain: c.Shutdown.Drain, AccessLog: access,
	}, log)
	if err != nil {
		return nil, fmt.Errorf("--engine=nginx: %w", err)
	}
	return engine, nil
}

// listenAt returns the addresses to listen on at a port; none for port 0.
func listenAt(c *config.Ingress, port int) []netip.AddrPort {
	if port == 0 {
		return nil
	}
	if len(c.Listen.Addresses) == 0 {
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))} // of both families
	}
	var out []netip.AddrPort
	for _, a := range c.Listen.Addresses {
		out = append(out, netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port)))
	}
	return out
}
