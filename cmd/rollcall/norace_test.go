//go:build !race

package main

import "time"

// What the browser tests expect of time; see race_test.go for when they expect less.
const (
	patience = 1
	interval = time.Second
	timed    = true
)
