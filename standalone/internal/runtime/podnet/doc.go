// Package podnet connects pods to their node: a routed pair of interfaces for each pod, its addresses and its host ports.
//
// There is no bridge. Every packet between two pods of a node passes the node's IP layer, as packets from elsewhere do,
// so that the service proxy sees and translates all of them, replies included.
//
//	pod (eth0: 10.244.1.2/32, fd00::1:2/128)          node (swp1a2b3c4d5e6f: 10.244.1.1/32, fd00::1:1/128)
//	  10.244.1.1 dev eth0 scope link            <-->    10.244.1.2 dev swp1a2b3c4d5e6f
//	  default via 10.244.1.1                            fd00::1:2 dev swp1a2b3c4d5e6f
package podnet
