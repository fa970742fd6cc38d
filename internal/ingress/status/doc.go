// Package status writes the addresses of the entry into the status of its Ingresses, where `kubectl get ingress` and
// external-dns look for them.
//
// One process writes, the one that leads; an Ingress is written only where its status says something else. Of two controllers that
// both claim an Ingress neither can make the other write without end: what was written is not written again for half a minute.
package status
