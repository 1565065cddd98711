package collect

import "testing"

// The heap collects earlier while it holds more than usual, never below a bound, and follows a fleet that has grown.
func TestHeapPolicy(t *testing.T) {
	h := heapPolicy{percent: heapMost}
	for _, tc := range []struct {
		live    float64
		seconds int
		want    int
	}{
		{20e6, 1, 100},
		{20.2e6, 10, 100}, // about as usual
		{24e6, 1, 75},
		{24.2e6, 1, 75}, // a small change is none
		{60e6, 1, 50},
		{20e6, 1, 100},
		{0, 1, 100}, // there was no round yet
		{40e6, 60, 50},
		{40e6, 900, 100},
	} {
		for range tc.seconds {
			h.next(tc.live)
		}
		if d := h.percent - tc.want; d < -2 || d > 2 {
			t.Errorf("%.1f MB for %d s: %d %%, want about %d; usual is %.1f MB", tc.live/1e6, tc.seconds, h.percent, tc.want, h.usual/1e6)
		}
	}
}
