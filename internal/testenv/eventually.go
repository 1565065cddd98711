package testenv

import (
	"testing"
	"time"
)

// Eventually waits up to 30 s for a condition of something real, for which no made-up time will do: what says what, in words for the failure.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}
