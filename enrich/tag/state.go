package tag

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
)

// states holds what is remembered of each instance between its scrapes.
type states struct {
	seed   maphash.Seed
	secret secret
	bytes  atomic.Int64 // what is remembered of series, over all instances
	limit  atomic.Int64
	bury   func(*shape) // gives back what a shape holds
	shards [32]struct {
		mu sync.Mutex
		m  map[discovery.Key]*state
	}
}

// state is one instance's. Its lock is held while a snapshot is enriched, so that it cannot be dropped under it.
type state struct {
	mu       sync.Mutex
	dead     bool // dropped; whoever finds it so asks again
	seen     time.Time
	interval time.Duration
	meta     registered
	version  said
	track    said
	started  time.Time // of the process, where it says so
	in       composition
	out      discovery.Tags
	shape    shape
}

func newStates(limit int64) *states {
	s := &states{seed: maphash.MakeSeed(), secret: secret{rand.Uint64() | 1, rand.Uint64() | 1}}
	s.limit.Store(limit)
	for i := range s.shards {
		s.shards[i].m = map[discovery.Key]*state{}
	}
	return s
}

func (s *states) shard(k discovery.Key) int {
	return int((maphash.String(s.seed, k.Host) + uint64(k.Port)*0x9E3779B97F4A7C15) >> 59)
}

// get is the instance's state, locked; the caller unlocks it.
func (s *states) get(k discovery.Key) *state {
	sh := &s.shards[s.shard(k)]
	for {
		sh.mu.Lock()
		st := sh.m[k]
		if st == nil {
			st = &state{}
			sh.m[k] = st
		}
		sh.mu.Unlock()
		st.mu.Lock()
		if !st.dead {
			return st
		}
		st.mu.Unlock()
	}
}

// peek is the instance's state, locked, or nil where nothing is remembered of it; the caller unlocks it.
func (s *states) peek(k discovery.Key) *state {
	sh := &s.shards[s.shard(k)]
	sh.mu.Lock()
	st := sh.m[k]
	sh.mu.Unlock()
	if st != nil {
		st.mu.Lock()
	}
	return st
}

// forget drops one instance's state.
func (s *states) forget(k discovery.Key) {
	sh := &s.shards[s.shard(k)]
	sh.mu.Lock()
	st := sh.m[k]
	delete(sh.m, k)
	sh.mu.Unlock()
	s.end(st)
}

// sweep drops the state of instances that were not seen for idle, or for five of their intervals where that is longer. It returns how many.
func (s *states) sweep(now time.Time, idle time.Duration) (dropped int) {
	for i := range s.shards {
		sh := &s.shards[i]
		var gone []*state
		sh.mu.Lock()
		for k, st := range sh.m {
			st.mu.Lock()
			if now.Sub(st.seen) > max(idle, 5*st.interval) {
				delete(sh.m, k)
				gone = append(gone, st)
			}
			st.mu.Unlock()
		}
		sh.mu.Unlock()
		for _, st := range gone {
			s.end(st)
		}
		dropped += len(gone)
	}
	return dropped
}

func (s *states) end(st *state) {
	if st == nil {
		return
	}
	st.mu.Lock()
	st.dead = true
	s.bury(&st.shape)
	st.mu.Unlock()
}

func (s *states) len() (n int) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].m)
		s.shards[i].mu.Unlock()
	}
	return n
}
