package scrape

import (
	"runtime/debug"
	"sync"
)

// large keeps a few pulls of large bodies where the collector of garbage does not take them: it does so in each of its rounds, of which there are several between two
// bodies of one target. Whoever sends a large body again, good or not, then makes none.
type large struct {
	mu    sync.Mutex
	kept  []*pull // the one that came last is used first
	spare int     // the fewest that were kept since the last trim
}

const (
	maxKept      = 4
	maxKeptBytes = 16 << 20 // of one
)

// take is one that was kept, or nil.
func (l *large) take() *pull {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.kept) - 1
	if n < 0 {
		return nil
	}
	x := l.kept[n]
	l.kept[n] = nil
	l.kept = l.kept[:n]
	l.spare = min(l.spare, n)
	return x
}

// keep reports whether x is kept.
func (l *large) keep(x *pull) bool {
	if cap(x.raw)+cap(x.decoded)+x.parserSize() > maxKeptBytes {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.kept) == maxKept {
		return false
	}
	l.kept = append(l.kept, x)
	return true
}

// trim gives those back that nobody needed since the last time.
func (l *large) trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.kept[:l.spare] {
		x.unmap()
	}
	n := copy(l.kept, l.kept[l.spare:])
	clear(l.kept[n:])
	l.kept = l.kept[:n]
	l.spare = n
}

// giveBackFrom is how much is worth the round of the collector of garbage that it takes to give it back: some 10 ms with the heap of a thousand targets, at each trim at most.
const giveBackFrom = 16 << 20

// giveBack has the system take back what bodies that were too large have left: the runtime would keep it for minutes.
func (p *pulls) giveBack() {
	if p.forgotten.Load() >= giveBackFrom {
		p.forgotten.Store(0)
		go debug.FreeOSMemory()
	}
}
