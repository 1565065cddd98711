package serve

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The runtime lets a heap grow to twice of what it held at its last round of collection. Of a page's server nearly all of that is windows, which stay: a million series would cost as
// much again as they take. So it collects when the heap has grown by a third, or by heapRoom where that is more. What is held are pieces without pointers, so a round is cheap.
const (
	heapLook  = time.Second
	heapRoom  = 96 << 20
	heapLeast = 33
	heapMost  = 100
)

// heapPercent is the percentage by which the heap may grow while so many bytes are held.
func heapPercent(live uint64) int {
	return int(min(heapMost, max(heapLeast, 100*heapRoom/max(1, live))))
}

// holdHeap follows what the heap holds until ctx ends. Where the operator has set GOGC, it leaves it at that.
func holdHeap(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	t := time.NewTicker(heapLook)
	defer t.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := heapMost; ; {
		select {
		case <-ctx.Done():
			debug.SetGCPercent(heapMost)
			return nil
		case <-t.C:
		}
		metrics.Read(live)
		p := heapPercent(live[0].Value.Uint64())
		if d := p - now; d <= -5 || d >= 5 || d != 0 && (p == heapLeast || p == heapMost) { // each change stops the world for a moment
			debug.SetGCPercent(p)
			now = p
		}
	}
}
