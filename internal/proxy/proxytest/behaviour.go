package proxytest

import "testing"

func (n *network) behaviour(t *testing.T, newBackend NewBackend) {}
