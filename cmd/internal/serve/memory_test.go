package serve

import "testing"

func TestHeapPercent(t *testing.T) {
	for _, tc := range []struct {
		live uint64 // MB
		want int
	}{{0, 100}, {20, 100}, {96, 100}, {128, 75}, {192, 50}, {300, 33}, {5000, 33}} {
		if got := heapPercent(tc.live << 20); got != tc.want {
			t.Errorf("with %d MB held: %d %%, not %d", tc.live, got, tc.want)
		}
	}
}
