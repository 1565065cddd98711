package collect

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapPolicy keeps the heap about as large as it usually is. The runtime lets a heap grow to twice of what it held at its last round of collection: some megabytes that bad targets
// have in their connections and buffers would cost as much again, for as long as they are there. So while more is held than usual, it collects earlier: at 1.5 times of it at the least.
// That is one round more for each that there would be, some 15 ms each with a thousand targets.
type heapPolicy struct {
	usual   float64 // bytes that are held at the end of a round, when nothing is wrong
	percent int     // in force
}

const (
	heapEvery   = time.Second
	heapAfter   = 5 * time.Second // from when the targets are known: by then they were pulled
	heapLeast   = 50
	heapMost    = 100
	heapForgets = 1.001 // what is usual follows a fleet that grows, by so much a second: it takes twelve minutes to double
)

// next is the percentage that the runtime is to be given while so many bytes are held; changed says that it is another.
func (h *heapPolicy) next(live float64) (percent int, changed bool) {
	if live <= 0 {
		return h.percent, false
	}
	if h.usual *= heapForgets; h.usual == 0 || live < h.usual {
		h.usual = live
	}
	p := min(heapMost, max(heapLeast, int(100*(2.1*h.usual-live)/live)))
	if d := p - h.percent; d > -5 && d < 5 && p != heapMost || d == 0 { // each change stops the world for a moment
		return h.percent, false
	}
	h.percent = p
	return p, true
}

// holdHeap follows what the heap holds until ctx ends. Where the operator has set GOGC, it leaves it at that.
func (d *Daemon) holdHeap(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	h := heapPolicy{percent: heapMost}
	var from time.Time
	for {
		select {
		case <-ctx.Done():
			debug.SetGCPercent(heapMost)
			return
		case now := <-tick.C:
			if from.IsZero() && d.Ready() == nil {
				from = now.Add(heapAfter)
			}
			if from.IsZero() || now.Before(from) {
				continue
			}
			metrics.Read(live)
			if p, changed := h.next(float64(live[0].Value.Uint64())); changed {
				debug.SetGCPercent(p)
			}
		}
	}
}
