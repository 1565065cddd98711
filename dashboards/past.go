package dashboards

import (
	"math"
	"time"
)

// Holds is from when on (Unix ms) the Board has the raw values of a service: the window's begin, or what the byte budget or a feed that still reads history leave of it. Of
// a service that is not known, or that another replica owns, it has none: math.MaxInt64.
func (b *Board) Holds(name, env string) int64 {
	s := b.find(name, env)
	if s == nil || !b.owned(name, env) {
		return math.MaxInt64
	}
	since := b.now().Add(-b.opts.Window).UnixMilli()
	if f := b.Feed(); f.Filling {
		since = max(since, f.History)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(since, s.evicted)
}

// Pack packs what was added, as far as there is enough of it to make blocks, and says about how many bytes all of it takes: for a Board that is filled from the past, and has
// not ticked yet.
func (b *Board) Pack() (bytes int) {
	for _, s := range b.all() {
		s.mu.Lock()
		for _, in := range s.instances {
			if len(in.late) >= sealRows {
				in.flush(s, &b.shares[0].packer)
			}
			in.seal(s, &b.shares[0].packer)
		}
		bytes += s.bytes()
		s.mu.Unlock()
	}
	return bytes
}

// Settle ticks a Board that nobody else ticks and that nothing is added to any more, at one moment, until all that follows from its records is worked out or the time is over.
func (b *Board) Settle(at time.Time, within time.Duration) {
	for end := time.Now().Add(within); ; {
		b.Tick(at)
		if !b.owes() || time.Now().After(end) {
			return
		}
	}
}

// owes reports whether ticks of the past are still to be computed.
func (b *Board) owes() bool {
	for _, s := range b.all() {
		s.mu.RLock()
		owes := s.backlog != [2]int64{}
		s.mu.RUnlock()
		if owes {
			return true
		}
	}
	return false
}
