package iptables

import (
	"context"
	"io"
	"os/exec"
	"time"

	"github.com/switchyard-net/switchyard/internal/model"
)

// Variant is an implementation of iptables. The kernel holds the rules of each apart.
type Variant string

// The variants.
const (
	// Auto is the one that the system uses: see Open.
	Auto   Variant = "auto"
	Legacy Variant = "legacy"
	NFT    Variant = "nft"
)

// Options say how the programs are run; the zero value is right on a cluster.
type Options struct {
	// Variant; empty: Auto.
	Variant Variant
	// Wait is how long a program waits for the lock that others hold (iptables -w), in whole seconds; 0: 5 s.
	Wait time.Duration
	// Command makes the process of a program; nil: exec.CommandContext. Tests run it in another network namespace.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
}

// Stamp is a fingerprint of a family's tables: it differs after another program has changed them.
type Stamp [2]uint64

// Conn runs the programs of one variant. It belongs to the network namespace of the thread that calls Open.
type Conn struct {
	variant Variant
	options Options
}

// Open chooses the variant and looks for its programs.
func Open(ctx context.Context, o Options) (*Conn, error) {
	return &Conn{variant: o.Variant, options: o}, nil
}

// Variant returns the variant in use, Legacy or NFT.
func (c *Conn) Variant() Variant { return c.variant }

// Restore feeds what write writes to one iptables-restore --noflush.
func (c *Conn) Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error {
	return nil
}

// Save passes on the lines of iptables-save for a table.
func (c *Conn) Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error {
	return nil
}

// Stamp returns the fingerprint of a family's tables as they are now.
func (c *Conn) Stamp(ctx context.Context, f model.Family) (Stamp, error) { return Stamp{}, nil }

// Close releases what the Conn holds.
func (c *Conn) Close() error { return nil }
