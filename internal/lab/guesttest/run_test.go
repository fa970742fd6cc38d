package guesttest_test

import (
	"os"
	"testing"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
	"github.com/switchyard-net/switchyard/internal/lab/guesttest"
)

func TestKernel(t *testing.T) {
	guesttest.Run(t, guest.Machine{Console: t.Output()}, func(t *testing.T) {
		t.Run("a/b: c", func(t *testing.T) { t.Log("hello") })
		t.Run("skip", func(t *testing.T) { t.Skip("for a reason") })
		for _, path := range []string{"/proc/net/ip_vs", "/proc/net/sctp"} {
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
	})
}
