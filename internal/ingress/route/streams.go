package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-net/switchyard/internal/ingress/settings"
	"github.com/switchyard-net/switchyard/internal/model"
)

// streams reads the TCP and UDP services of their ConfigMaps.
func (b *Builder) streams(d *dirty) []Stream {
	old := b.streamState
	b.streamState = &state{}
	delete(b.problems, "streams")
	var out []Stream
	for _, of := range []struct {
		ref      model.Ref
		protocol model.Protocol
	}{{b.config.TCP, model.TCP}, {b.config.UDP, model.UDP}} {
		m, ok := b.snap.ConfigMaps.Get(of.ref)
		if !ok || of.ref == (model.Ref{}) {
			continue
		}
		if m.Problem != "" {
			b.streamProblem(of.ref, m.Problem)
			continue
		}
		for _, port := range slices.Sorted(maps.Keys(m.Data)) {
			s, err := b.stream(port, m.Data[port], of.protocol, d)
			if err != nil {
				b.streamProblem(of.ref, fmt.Sprintf("data[%q]: %v; nothing listens for it", port, err))
				continue
			}
			out = append(out, s)
		}
	}
	b.release(old, d)
	slices.SortFunc(out, func(x, y Stream) int {
		return cmp.Or(cmp.Compare(x.Protocol, y.Protocol), cmp.Compare(x.Port, y.Port))
	})
	return out
}

func (b *Builder) streamProblem(ref model.Ref, message string) {
	b.problems["streams"] = append(b.problems["streams"], Problem{Kind: "ConfigMap", Ref: ref, Reason: ReasonStream, Message: message})
}

// stream reads "NAMESPACE/SERVICE:PORT[:PROXY][:PROXY]": PROXY protocol from clients, and to endpoints.
func (b *Builder) stream(port, value string, protocol model.Protocol, d *dirty) (Stream, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Stream{}, fmt.Errorf("the key has to be a port from 1 to 65535")
	}
	if slices.Contains(b.config.Reserved, uint16(n)) && protocol == model.TCP {
		return Stream{}, fmt.Errorf("port %d is one of the entry itself; use another one", n)
	}
	words := strings.Split(strings.TrimSpace(value), ":")
	namespace, name, ok := strings.Cut(words[0], "/")
	if len(words) < 2 || len(words) > 4 || !ok || namespace == "" || name == "" || words[1] == "" {
		return Stream{}, fmt.Errorf("it has to be NAMESPACE/SERVICE:PORT, with :PROXY for PROXY protocol, not %q", value)
	}
	key := Key{Service: model.Ref{Namespace: namespace, Name: name}, Name: words[1]}
	if number, err := strconv.ParseUint(words[1], 10, 16); err == nil {
		key.Name, key.Number = "", uint16(number)
	}
	s := Stream{Protocol: protocol, Port: uint16(n)}
	if protocol == model.TCP {
		s.ProxyIn = len(words) > 2 && strings.EqualFold(words[2], "PROXY")
		s.ProxyOut = len(words) > 3 && strings.EqualFold(words[3], "PROXY")
	}
	s.Backend = b.takeFor(b.streamState, backendKey{key, false, protocol}, &settings.Upstream{}, d)
	return s, nil
}
