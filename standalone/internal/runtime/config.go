package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
)

// Config says where a runtime lives. It must run in the node's network namespace.
type Config struct {
	Socket   string         // path of the unix socket that CRI clients dial
	Root     string         // absolute directory for the runtime's state; what an earlier runtime left in it is cleared
	PodCIDRs []netip.Prefix // the node's pod networks, one of each IP family or one; the first is the pods' primary family
	MTU      int            // bytes, of the pods' interfaces; 0 is the kernel's default (1500)
	Images   Images         // what image names stand for
	Self     string         // the binary to execute as the container shim: its main must call ShimMain first; "" is this one
	Hide     []string       // directories of the host, such as the cluster's data, that no pod sees; Root is always hidden
	Log      *slog.Logger
}

// validate reports every field that cannot be used.
func (c Config) validate() error {
	var errs []error
	if c.Socket == "" {
		errs = append(errs, errors.New("field Socket: give the path of the unix socket to serve on"))
	}
	if !filepath.IsAbs(c.Root) || filepath.Clean(c.Root) == "/" {
		errs = append(errs, fmt.Errorf("field Root: %q is not an absolute path of a directory of its own", c.Root))
	}
	if strings.ContainsAny(c.Root, `:,\`) {
		errs = append(errs, fmt.Errorf("field Root: %q has a character that means something in a mount option (: , \\)", c.Root))
	}
	for _, dir := range c.Hide {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
			errs = append(errs, fmt.Errorf("field Hide: %q is not an absolute path of a directory", dir))
		}
	}
	if c.MTU != 0 && c.MTU < 1280 {
		errs = append(errs, fmt.Errorf("field MTU: %d bytes is less than IPv6 allows (1280)", c.MTU))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("field Log: give a logger"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("container runtime: %w", err)
	}
	return nil
}
