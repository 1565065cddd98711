//go:build race

package main

import "time"

// The race detector makes this process ten times as slow, and the browser beside it gets what is left of the machine: the fleet is scraped less often, everything
// may take longer, and nothing is held to its time.
const (
	patience = 5
	interval = 4 * time.Second
	timed    = false
)
