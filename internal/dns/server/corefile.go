package server

import (
	"bytes"
	"cmp"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns/caddy/caddyfile"
)

// Corefile is the text of a Corefile and where it is from.
type Corefile struct {
	// Path is named in errors, and `import` is relative to its directory.
	Path string
	Text []byte
}

// Default returns the Corefile that kubeadm 1.37 gives to CoreDNS (cmd/kubeadm/app/phases/addons/dns/manifests.go), for a
// zone such as "cluster.local".
func Default(zone string) Corefile {
	return Corefile{Path: "Corefile", Text: []byte(strings.ReplaceAll(`.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes ZONE in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success ZONE
       disable denial ZONE
    }
    loop
    reload
    loadbalance
}
`, "ZONE", zone))}
}

// DefaultOnNode returns the Corefile of a node: kubeadm's, with autopath, and without what is the node's own business (health,
// ready) or would end the whole process (loop). Metrics are on loopback.
func DefaultOnNode(zone string) Corefile {
	return Corefile{Path: "Corefile", Text: []byte(strings.ReplaceAll(`.:53 {
    errors
    autopath @kubernetes
    kubernetes ZONE in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus 127.0.0.1:9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success ZONE
       disable denial ZONE
    }
    loadbalance
}
`, "ZONE", zone))}
}

// Read reads the Corefile at a path.
func Read(path string) (Corefile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Corefile{}, fmt.Errorf("read the Corefile: %w", err)
	}
	return Corefile{Path: path, Text: text}, nil
}

// parse returns the server blocks, with imports put in. Each token says which file it is from.
func (c Corefile) parse() ([]caddyfile.ServerBlock, error) {
	blocks, err := caddyfile.Parse(c.Path, bytes.NewReader(c.Text), nil)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 { // for which CoreDNS would serve `whoami`
		return nil, fmt.Errorf("%s:1 - there is no server block", c.Path)
	}
	for _, block := range blocks {
		for name, tokens := range block.Tokens {
			for i := range tokens {
				tokens[i].File = cmp.Or(tokens[i].File, c.Path)
			}
			if slices.Contains(leftOut(), name) {
				return nil, fmt.Errorf("%s:%d - the plugin %q of CoreDNS is not built in; take it out, or forward its zones to a CoreDNS that has it",
					tokens[0].File, tokens[0].Line, name)
			}
		}
	}
	return blocks, nil
}

// digest returns the hash of what the server blocks say: comments and white space do not count, imported files do.
func digest(blocks []caddyfile.ServerBlock) (string, error) {
	text, err := json.Marshal(blocks)
	if err != nil {
		return "", fmt.Errorf("hash the Corefile: %w", err)
	}
	sum := sha512.Sum512(text)
	return hex.EncodeToString(sum[:]), nil
}

// pluginError matches errors of plugins, which begin with "plugin/NAME: ".
var pluginError = regexp.MustCompile(`plugin/([a-z0-9_]+): `)

// lineNumber matches where Caddy says that an error is: "Corefile:12 ".
var lineNumber = regexp.MustCompile(`:[0-9]+ - `)

// locate adds to an error of a plugin the lines of its directive, unless the error has a line of its own.
func locate(err error, blocks []caddyfile.ServerBlock) error {
	found := pluginError.FindStringSubmatch(err.Error())
	if found == nil || lineNumber.MatchString(err.Error()) {
		return err
	}
	var where []string
	for _, block := range blocks {
		for i, token := range block.Tokens[found[1]] {
			if token.Text == found[1] && (i == 0 || token.Line != block.Tokens[found[1]][i-1].Line) {
				where = append(where, fmt.Sprintf("%s:%d", token.File, token.Line))
			}
		}
	}
	if len(where) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", strings.Join(where, " or "), err)
}
