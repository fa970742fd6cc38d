package iptables

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-net/switchyard/internal/kernel/nft"
	"github.com/switchyard-net/switchyard/internal/model"
)

// Variant is an implementation of iptables. The kernel holds the rules of each apart.
type Variant string

// The variants.
const (
	Auto   Variant = "auto" // the one that the system uses: see Open
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

// Stamp is a fingerprint of a family's tables: it differs after a program has changed them.
type Stamp [3]uint64

// Conn runs the programs of one variant, and asks the kernel directly what it can answer cheaply. It belongs to the
// network namespace of the thread that calls Open.
type Conn struct {
	options Options
	variant Variant
	names   programs
	legacy  *legacyTables
	nft     *nft.Conn // for the nft variant; nil: the other
	recent  *os.Root  // recentDirectory; nil: there may be none
}

// Open chooses the variant and looks for its programs.
//
// Auto takes, as Kubernetes' iptables-wrappers do, the variant in which a kubelet has left its hint; else the one in
// which there are more rules; else that of the program iptables-restore.
func Open(ctx context.Context, o Options) (*Conn, error) {
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	if o.Command == nil {
		o.Command = exec.CommandContext
	}
	c := &Conn{options: o, variant: o.Variant, legacy: openLegacyTables()}
	c.recent, _ = os.OpenRoot(recentDirectory) // tried again when it is needed
	if err := c.choose(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if c.variant == NFT {
		var err error
		if c.nft, err = nft.Open(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Variant returns the variant in use, Legacy or NFT.
func (c *Conn) Variant() Variant { return c.variant }

// Close releases what the Conn holds.
func (c *Conn) Close() error {
	err := c.legacy.close()
	if c.recent != nil {
		err = errors.Join(err, c.recent.Close())
	}
	if c.nft != nil {
		err = errors.Join(err, c.nft.Close())
	}
	return err
}

// Restore feeds what write writes to one iptables-restore --noflush: each table comes into force as a whole, or not at
// all. Errors of the program are of type *Error; see IsLocked and IsRefused.
func (c *Conn) Restore(ctx context.Context, f model.Family, write func(io.Writer) error) error {
	program := c.names.restore(f)
	if program == "" {
		return c.absent(f, "restore")
	}
	args := []string{"--noflush", "-w", strconv.Itoa(int(c.options.Wait.Round(time.Second).Seconds()))}
	command := c.options.Command(ctx, program, args...)
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	stdin, err := command.StdinPipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	if err := command.Start(); err != nil {
		return newError(program, err, "")
	}
	buffer := bufio.NewWriterSize(stdin, 1<<16)
	wrote := write(buffer)
	if wrote == nil {
		wrote = buffer.Flush()
	}
	stdin.Close() // without COMMIT before it, nothing comes into force
	if err := command.Wait(); err != nil {
		return newError(program+" "+strings.Join(args, " "), err, said.String())
	}
	return wrote
}

// Save passes on the lines of iptables-save for a table, or with "" for all tables, without the ends of lines; there are
// none if the kernel does not have the table yet. A line is valid until line returns; its error ends Save.
func (c *Conn) Save(ctx context.Context, f model.Family, table string, line func([]byte) error) error {
	program := c.names.save(f)
	if program == "" {
		return c.absent(f, "save")
	}
	if table == "" {
		return c.lines(ctx, line, program)
	}
	if c.variant == Legacy && !c.legacy.has(f, table) {
		return nil // to look at a table would make it
	}
	return c.lines(ctx, line, program, "-t", table)
}

// lines runs a program and passes on the lines of its output.
func (c *Conn) lines(ctx context.Context, line func([]byte) error, program string, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := c.options.Command(ctx, program, args...)
	var said bytes.Buffer
	command.Stderr = &said
	stdout, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	if err := command.Start(); err != nil {
		return newError(program, err, "")
	}
	scanner := bufio.NewScanner(stdout)
	for err == nil && scanner.Scan() {
		if bytes.HasPrefix(scanner.Bytes(), []byte("# Table")) && bytes.Contains(scanner.Bytes(), []byte("incompatible")) {
			err = fmt.Errorf("%s: another program changed the table by other means than iptables: %s", program, scanner.Bytes())
			continue
		}
		err = line(scanner.Bytes())
	}
	if err == nil {
		err = scanner.Err()
	}
	if err != nil {
		cancel()
		_ = command.Wait() // killed
		return err
	}
	if err := command.Wait(); err != nil {
		return newError(program+" "+strings.Join(args, " "), err, said.String())
	}
	return nil
}

// absent is the error for a program that is not installed.
func (c *Conn) absent(f model.Family, verb string) error {
	program := fmt.Sprintf("%s-%s-%s", command(f), c.variant, verb)
	return newError(program, exec.ErrNotFound, "install the package iptables, or choose another proxy mode")
}

// Stamp returns the fingerprint of a family's nat, filter and mangle tables as they are now: of the legacy variant, how many
// entries each has and where they begin; of the nft variant, the number of the kernel's last change to any table. It
// costs one or two system calls.
func (c *Conn) Stamp(ctx context.Context, f model.Family) (Stamp, error) {
	if c.nft == nil {
		return c.legacy.stamp(f)
	}
	generation, err := c.nft.Generation(ctx)
	return Stamp{uint64(generation)}, err
}
