package dashboards

import (
	"sync/atomic"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, n := range []int{0, 1, worthSplitting - 1, worthSplitting, 1000, 1001} {
		done := make([]atomic.Int32, n)
		var busy [Workers]atomic.Bool
		Split(n, func(worker, i int) {
			if busy[worker].Swap(true) {
				t.Errorf("worker %d does two pieces of %d at once", worker, n)
			}
			done[i].Add(1)
			busy[worker].Store(false)
		})
		for i := range done {
			if k := done[i].Load(); k != 1 {
				t.Fatalf("of %d pieces, %d is done %d times", n, i, k)
			}
		}
	}
}
