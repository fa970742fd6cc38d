package server

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestTheNextServerHasMetrics serves by one Corefile after the other in one process, as a node does when its addresses change.
func TestTheNextServerHasMetrics(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	up, live := startUpstream(t), cluster(t)
	corefile := strings.Replace(kubeadm(up.addr), "{\n", "{\n    prometheus "+addr+"\n", 1)
	for _, round := range []string{"first", "second"} {
		t.Run(round, func(t *testing.T) {
			start(t, live, corefile, nil)
			response, err := http.Get("http://" + addr + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Error(response.Status)
			}
		})
	}
}
