package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/switchyard-net/switchyard/internal/model"
)

// programs are the names of a variant's programs; those that are not installed are missing.
type programs map[string]string

func (p programs) restore(f model.Family) string { return p[command(f)+"-restore"] }
func (p programs) save(f model.Family) string    { return p[command(f)+"-save"] }

func command(f model.Family) string {
	if f == model.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

// find returns the programs of a variant: those with its name, or those without any if they are of this variant.
func find(v, standard Variant) programs {
	found := programs{}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, verb := range []string{"-restore", "-save"} {
			names := []string{family + "-" + string(v) + verb}
			if v == standard {
				names = append(names, family+verb)
			}
			for _, name := range names {
				if _, err := exec.LookPath(name); err == nil {
					found[family+verb] = name
					break
				}
			}
		}
	}
	return found
}

// choose sets the variant and its programs.
func (c *Conn) choose(ctx context.Context) error {
	standard := c.standard(ctx)
	of := map[Variant]programs{}
	for _, v := range []Variant{Legacy, NFT} {
		if p := find(v, standard); p.restore(model.IPv4) != "" && p.save(model.IPv4) != "" {
			of[v] = p
		}
	}
	switch c.variant {
	case Legacy, NFT:
	case "", Auto:
		variant, err := c.detect(ctx, of, standard)
		if err != nil {
			return err
		}
		c.variant = variant
	default:
		return fmt.Errorf("variant %q of iptables: want %s, %s or %s", c.variant, Auto, Legacy, NFT)
	}
	if c.names = of[c.variant]; c.names == nil {
		return fmt.Errorf("iptables-%s-restore is not installed: install the package iptables, or choose another proxy mode", c.variant)
	}
	return nil
}

// standard returns the variant of the program iptables-restore; empty: there is none.
func (c *Conn) standard(ctx context.Context) Variant {
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		return ""
	}
	out, err := c.options.Command(ctx, "iptables-restore", "--version").Output()
	switch {
	case err != nil:
		return ""
	case bytes.Contains(out, []byte("nf_tables")):
		return NFT
	}
	return Legacy // before 1.8 there was no other, and its version does not say so
}

// detect returns the variant that the system uses.
func (c *Conn) detect(ctx context.Context, of map[Variant]programs, standard Variant) (Variant, error) {
	switch {
	case len(of) == 0:
		return "", errors.New("iptables-restore is not installed: install the package iptables, or choose another proxy mode")
	case of[NFT] == nil:
		return Legacy, nil
	case of[Legacy] == nil:
		return NFT, nil
	}
	for _, v := range []Variant{NFT, Legacy} {
		if hinted, err := c.hinted(ctx, v, of[v]); hinted || err != nil {
			return v, err
		}
	}
	rules := c.legacy.rules()
	if rules == 0 && standard == NFT {
		return NFT, nil
	}
	more, err := c.hasMore(ctx, of[NFT], rules)
	switch {
	case err != nil:
		return "", err
	case more:
		return NFT, nil
	case rules > 0 || standard == "":
		return Legacy, nil
	}
	return standard, nil
}

// hints are chains that a kubelet makes in the mangle table (KEP-3178; pkg/kubelet/kubelet_network_linux.go).
func hints() [][]byte {
	return [][]byte{[]byte(":KUBE-IPTABLES-HINT "), []byte(":KUBE-KUBELET-CANARY ")}
}

// hinted reports whether a kubelet uses a variant.
func (c *Conn) hinted(ctx context.Context, v Variant, p programs) (found bool, err error) {
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if p.save(f) == "" || v == Legacy && !c.legacy.has(f, "mangle") {
			continue
		}
		err := c.lines(ctx, func(line []byte) error {
			for _, hint := range hints() {
				found = found || bytes.HasPrefix(line, hint)
			}
			return nil
		}, p.save(f), "-t", "mangle")
		if err != nil && f == model.IPv4 && !IsRefused(err) {
			return false, err
		}
	}
	return found, nil
}

// errEnough ends the reading of rules.
var errEnough = errors.New("enough rules seen")

// hasMore reports whether the nft variant has more rules than that.
func (c *Conn) hasMore(ctx context.Context, p programs, than int) (bool, error) {
	count := 0
	for _, f := range []model.Family{model.IPv4, model.IPv6} {
		if p.save(f) == "" {
			continue
		}
		err := c.lines(ctx, func(line []byte) error {
			if bytes.HasPrefix(line, []byte("-A ")) {
				count++
			}
			if count > than {
				return errEnough
			}
			return nil
		}, p.save(f))
		switch {
		case errors.Is(err, errEnough):
			return true, nil
		case err != nil && !IsRefused(err):
			return false, err
		}
	}
	return false, nil
}
