package leftovers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// lockPatience is for how many seconds iptables-restore may wait for others that hold the lock of xtables.
const lockPatience = "10"

// variant is one implementation of iptables: the kernel has the tables of each apart.
type variant struct {
	binary string // "iptables-legacy"; "-save" and "-restore" are appended
	// names lists the tables that the kernel has, for the legacy one: to look at a table makes it. Empty: all.
	names string
}

// variants returns the implementations that may hold rules. A machine may have both, and rules in both.
func variants() []variant {
	var out []variant
	for family, names := range map[string]string{"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"} {
		legacy, nft := exists(family+"-legacy-save"), exists(family+"-nft-save")
		if legacy {
			// Not /proc/net: that is the namespace of the process's first thread.
			out = append(out, variant{family + "-legacy", "/proc/thread-self/net/" + names})
		}
		if nft {
			out = append(out, variant{family + "-nft", ""})
		}
		if !legacy && !nft && exists(family+"-save") {
			out = append(out, variant{family, ""})
		}
	}
	return out
}

func exists(binary string) bool {
	_, err := exec.LookPath(binary)
	return err == nil
}

// removeIPTables removes kube-proxy's chains, and the rules of other chains that lead there, in one restore per table set.
func removeIPTables(ctx context.Context) (removed []string, err error) {
	var errs []error
	for _, v := range variants() {
		done, err := v.remove(ctx)
		errs = append(errs, err)
		if done != "" {
			removed = append(removed, done)
		}
	}
	return removed, errors.Join(errs...)
}

func (v variant) remove(ctx context.Context) (string, error) {
	if v.names != "" {
		if names, err := os.ReadFile(v.names); err != nil || len(names) == 0 {
			return "", nil
		}
	}
	saved, err := run(ctx, v.binary+"-save", nil)
	if err != nil {
		return "", err
	}
	script, chains := removal(string(saved))
	if chains == 0 {
		return "", nil
	}
	if _, err := run(ctx, v.binary+"-restore", []byte(script), "--noflush", "--wait", lockPatience); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d chains of %s", chains, v.binary), nil
}

// run returns the standard output of a command; its error holds what the command said.
func run(ctx context.Context, name string, input []byte, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// removal returns what to feed to `iptables-restore --noflush` so that kube-proxy's chains go, and how many they are,
// given the output of iptables-save.
//
// Each table takes three steps: rules of others' chains that lead to ours are deleted, our chains are flushed (which is
// what naming them does), and then, as nothing refers to them, deleted.
func removal(saved string) (script string, chains int) {
	var out strings.Builder
	var table string
	var ours, jumps []string
	for line := range strings.Lines(saved) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table, ours, jumps = line, nil, nil
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			if isKubeProxyChain(name) {
				ours = append(ours, name)
			}
		case strings.HasPrefix(line, "-A "):
			if chain, target := ruleChains(line); !isKubeProxyChain(chain) && isKubeProxyChain(target) {
				jumps = append(jumps, "-D "+line[len("-A "):])
			}
		case line == "COMMIT" && len(ours) > 0:
			chains += len(ours)
			fmt.Fprintln(&out, table)
			for _, chain := range ours {
				fmt.Fprintf(&out, ":%s - [0:0]\n", chain)
			}
			for _, jump := range jumps {
				fmt.Fprintln(&out, jump)
			}
			for _, chain := range ours {
				fmt.Fprintf(&out, "-X %s\n", chain)
			}
			fmt.Fprintln(&out, "COMMIT")
		}
	}
	return out.String(), chains
}

// ruleChains returns the chain that a rule, as saved, is in, and the one that it jumps or goes to.
func ruleChains(rule string) (chain, target string) {
	words := words(rule)
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "-A":
			chain = words[i+1]
		case "-j", "-g":
			target = words[i+1]
		}
	}
	return chain, target
}

// words splits a saved rule at spaces outside of double quotes, in which a backslash escapes.
func words(rule string) []string {
	var out []string
	var word strings.Builder
	quoted, escaped := false, false
	for _, r := range rule {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quoted:
			escaped = true
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			out = append(out, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return append(out, word.String())
}
