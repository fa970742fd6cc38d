// Package quarantine finds endpoints that do not answer this node although the API server says that they are ready: a
// node that is lost, a network that is cut, a process that hangs.
//
//	connections that begin ──► sample ──► look at it 0.15 s and 0.4 s later ──► answered: nothing happens
//	(conntrack events)                    (one lookup each)                 └─► unanswered: a trial
//
//	trial: two probes of the endpoint, and of up to three others of its Services ──► answers: a false alarm
//	       at the same time                                                      └─► silent: plan.Silence
//
// What is silent is for the planner to judge: it takes at most half of a pool out, so that the rule holds in every proxy
// mode. A silent endpoint is probed about once a second until it answers. docs/quarantine.md says what it costs, what it
// cannot see and how to read its metrics.
package quarantine
