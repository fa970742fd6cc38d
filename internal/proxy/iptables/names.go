package iptables

import (
	"encoding/base32"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/model"
	"github.com/switchyard-net/switchyard/internal/plan"
)

// The chains that there is one of. All our chains begin with ownPrefix or perPrefix, and no others but those of the ipvs
// mode, whose other rules would be without them while one mode follows the other.
const (
	ownPrefix  = "SWITCHYARD-"
	perPrefix  = "SWY"
	ipvsPrefix = "SWITCHYARD-IPVS"

	services    = ownPrefix + "SERVICES"    // which Service is meant
	frontends   = ownPrefix + "FRONTENDS"   // by address
	nodePorts   = ownPrefix + "NODE-PORTS"  // by port
	offCluster  = ownPrefix + "OFF-CLUSTER" // mark what does not come from this node's pods
	mark        = ownPrefix + "MARK"        // mark for masquerading
	unmark      = ownPrefix + "UNMARK"      // take the mark back
	refuse      = ownPrefix + "REJECT"      // have it rejected in the filter table
	silence     = ownPrefix + "DROP"        // have it dropped in the filter table
	postrouting = ownPrefix + "POSTROUTING"
	masquerade  = ownPrefix + "MASQUERADE"
	hairpins    = ownPrefix + "HAIRPINS" // local endpoints that reach themselves through a Service
	verdicts    = ownPrefix + "VERDICTS" // in the filter table: what refuse and silence ask for
	forward     = ownPrefix + "FORWARD"
	martians    = ownPrefix + "MARTIANS"
	trial       = ownPrefix + "TRIAL" // of probes
)

// What the names of chains begin with of which there are many, each followed by what it is for. The order of the
// letters is that in which packets pass: see descending.
const (
	addressNode = perPrefix + "-"  // a part of the tree of addresses: SWY-24-10.96.1.0
	portNode    = perPrefix + "D-" // a part of the tree of node ports: SWYD-12-tcp-30080
	firewall    = perPrefix + "F-" // only some networks
	fromHere    = perPrefix + "H-" // clients on this node apart from others
	localPool   = perPrefix + "L-" // the endpoints of a Service port on this node
	hairpinNode = perPrefix + "M-" // a part of the tree of hairpins
	clusterPool = perPrefix + "S-" // the endpoints of a Service port
)

// maxName is how long the name of a chain may be: XT_EXTENSION_MAXNAMELEN of linux/netfilter/x_tables.h, less its end.
const maxName = 28

// maxComment is how long a comment may be: XT_MAX_COMMENT_LEN of linux/netfilter/xt_comment.h, less its end.
const maxComment = 255

// isOurs reports whether a chain is one of this backend's.
func isOurs(chain string) bool {
	if strings.HasPrefix(chain, ownPrefix) {
		return !strings.HasPrefix(chain, ipvsPrefix)
	}
	rest, ok := strings.CutPrefix(chain, perPrefix)
	if !ok || rest == "" {
		return false
	}
	return rest[0] == '-' || len(rest) > 1 && strings.IndexByte("DFHLMS", rest[0]) >= 0 && rest[1] == '-'
}

// portName names a Service port for people: namespace/name:port, and the protocol if it is not TCP.
func portName(ref model.Ref, port string, p model.Protocol) string {
	name := ref.Namespace + "/" + ref.Name
	if port != "" {
		name += ":" + port
	}
	if p != model.TCP {
		name += "/" + protocol(p)
	}
	return name
}

func protocol(p model.Protocol) string {
	switch p {
	case model.TCP:
		return "tcp"
	case model.UDP:
		return "udp"
	}
	return "sctp"
}

// poolName returns the chain of a pool.
func poolName(ref model.Ref, p *plan.Pool) string {
	kind := clusterPool
	if p.Local {
		kind = localPool
	}
	return chainName(kind, portName(ref, p.PortName, p.Protocol), "")
}

// chainName returns a name of at most maxName characters: what is readable of it if that says everything and fits, else
// its beginning, without a namespace, and a hash of all of it.
func chainName(kind, readable, more string) string {
	if clean := sanitize(readable); more != "" || clean != readable || len(kind)+len(readable) > maxName {
		const digits = 10
		if _, name, ok := strings.Cut(clean, "/"); ok {
			clean = name
		}
		readable = clean[:min(len(clean), maxName-len(kind)-len("~")-digits)] + "~" + digest(readable, more)[:digits]
	}
	return kind + readable
}

// digest returns a hash of strings as lower-case letters and digits.
func digest(parts ...string) string {
	h := fnv.New128a()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)))
}

// sanitize replaces what iptables-restore might take for more than a part of a word. Kubernetes lets no such characters
// into names.
func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._:/", r):
			return r
		}
		return '_'
	}, s)
}

// comment returns the match that holds a comment, as iptables-save prints it: in quotes where there is more in it than
// letters, digits, hyphens and underscores.
func comment(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' || r == '~' {
			return r
		}
		return []rune(sanitize(string(r)))[0]
	}, text)
	text = text[:min(len(text), maxComment)]
	if text == "" || strings.ContainsAny(text, " ,~.:/") {
		text = `"` + text + `"`
	}
	return "-m comment --comment " + text
}
