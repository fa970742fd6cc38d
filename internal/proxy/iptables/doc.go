// Package iptables is the proxy backend that makes the rules of iptables equal to the plan.
package iptables
