package guest_test

import (
	"strings"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// boot boots a guest that ends with the test.
func boot(t *testing.T, m guest.Machine) *guest.Guest {
	t.Helper()
	g, err := guest.Boot(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestCommand(t *testing.T) {
	g := boot(t, guest.Machine{Console: t.Output()})
	var out, errs strings.Builder
	state, err := g.Run(t.Context(), guest.Command{Args: []string{"sh", "-c", "uname -r; lsmod|wc -l; free -m; ip a; cat /proc/mounts; iptables -V; echo x >&2; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3"}, Stdout: &out, Stderr: &errs})
	t.Logf("%+v %v %s %s", state, err, &out, &errs)
}
