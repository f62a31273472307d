// Package peer pins the OPA-Envoy plugin that the benchmark compares with; its command is built from here.
package peer
