package dashboards

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// worthSplitting is from how many pieces on work is divided: of fewer one processor is done before another has begun.
const worthSplitting = 64

// Workers is how many do the work of one tick; there are more processors on some machines, and other work.
const Workers = 8

// Split does the pieces 0..n-1 of some work, on as many processors as there are, each piece once. worker is less than Workers, and of two pieces that are done at the
// same time no two have the same.
func Split(n int, piece func(worker, i int)) {
	most := min(runtime.GOMAXPROCS(0), Workers)
	if n < worthSplitting || most < 2 {
		for i := range n {
			piece(0, i)
		}
		return
	}
	const each = 16 // taken at once
	var next atomic.Int64
	var all sync.WaitGroup
	for w := range most {
		all.Go(func() {
			for {
				from := int(next.Add(each)) - each
				if from >= n {
					return
				}
				for i := from; i < min(from+each, n); i++ {
					piece(w, i)
				}
			}
		})
	}
	all.Wait()
}
