package proxytest

import "testing"

// One test for each rule of docs/semantics.md that a packet can show. Each runs the probes that are tagged with it
// against plan.Trace; the same probes run against every backend by Run.

func TestRule01_ClusterIP(t *testing.T)                    { oracle(t, 1) }
func TestRule02_ServiceFilter(t *testing.T)                { oracle(t, 2) }
func TestRule03_EndpointFilter(t *testing.T)               { oracle(t, 3) }
func TestRule04_PublishNotReadyAddresses(t *testing.T)     { oracle(t, 4) }
func TestRule05_TerminatingFallback(t *testing.T)          { oracle(t, 5) }
func TestRule06_InternalTrafficPolicyLocal(t *testing.T)   { oracle(t, 6) }
func TestRule07_ExternalTrafficPolicyCluster(t *testing.T) { oracle(t, 7) }
func TestRule08_ExternalTrafficPolicyLocal(t *testing.T)   { oracle(t, 8) }
func TestRule09_RejectOrDrop(t *testing.T)                 { oracle(t, 9) }
func TestRule10_ClusterIPHygiene(t *testing.T)             { oracle(t, 10) }
func TestRule11_SessionAffinity(t *testing.T)              { oracle(t, 11) }
func TestRule12_TrafficDistribution(t *testing.T)          { oracle(t, 12) }
func TestRule13_NodeLabelChange(t *testing.T)              { oracle(t, 13) }
func TestRule14_NodePort(t *testing.T)                     { oracle(t, 14) }
func TestRule15_LocalhostNodePort(t *testing.T)            { oracle(t, 15) }
func TestRule16_ExternalIPs(t *testing.T)                  { oracle(t, 16) }
func TestRule17_LoadBalancerIPMode(t *testing.T)           { oracle(t, 17) }
func TestRule18_LoadBalancerShortCircuit(t *testing.T)     { oracle(t, 18) }
func TestRule19_LoadBalancerSourceRanges(t *testing.T)     { oracle(t, 19) }
func TestRule20_NoNodePortsAllocated(t *testing.T)         { oracle(t, 20) }
func TestRule24_Hairpin(t *testing.T)                      { oracle(t, 24) }
func TestRule25_Masquerade(t *testing.T)                   { oracle(t, 25) }
func TestRule26_DetectLocalMode(t *testing.T)              { oracle(t, 26) }
func TestRule37_NamesAndPorts(t *testing.T)                { oracle(t, 37) }
