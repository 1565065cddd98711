package export

import (
	"slices"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// memory knows which ids were delivered: of each collector's start in a partition the sequences as runs. Both lanes together have each sequence once, so the runs of
// a stream are few: one that grows, and one for each hole that the other lane has still to fill. It is bounded: past its bounds it forgets the oldest, and what comes
// of that again is delivered again.
type memory struct {
	streams map[stream]*runs
	clock   int64
}

type stream struct {
	collector, start uint64
	partition        int32
}

type runs struct {
	list  []span
	parts map[uint64]*partly // records in parts, of which not all were delivered
	used  int64              // when it was looked at last
}

type span struct{ first, last uint64 }

type partly struct {
	seen map[int]bool
	of   int
}

const (
	maxStreams = 4096 // collectors and their starts: a fleet of collectors that restarts daily for a month
	maxRuns    = 1024 // of a stream
	maxParts   = 256  // records in parts, of a stream
)

func newMemory() *memory { return &memory{streams: map[stream]*runs{}} }

func (m *memory) of(id wire.ID) *runs {
	m.clock++
	key := stream{id.Collector, id.Start, id.Partition}
	r := m.streams[key]
	if r == nil {
		if len(m.streams) >= maxStreams {
			m.forget()
		}
		r = &runs{parts: map[uint64]*partly{}}
		m.streams[key] = r
	}
	r.used = m.clock
	return r
}

// forget drops the stream that was looked at least lately.
func (m *memory) forget() {
	var oldest stream
	used := m.clock + 1
	for k, r := range m.streams {
		if r.used < used {
			oldest, used = k, r.used
		}
	}
	delete(m.streams, oldest)
}

// has reports whether a record was delivered. parts is of how many it is one; 0: it is whole.
func (m *memory) has(id wire.ID) bool {
	r := m.of(id)
	if _, in := r.find(id.Sequence); in {
		return true
	}
	p := r.parts[id.Sequence]
	return p != nil && p.seen[id.Part]
}

// add notes that a record was delivered.
func (m *memory) add(id wire.ID, parts int) {
	r := m.of(id)
	i, in := r.find(id.Sequence)
	if in {
		return
	}
	if id.Part > 0 && parts > 1 {
		p := r.parts[id.Sequence]
		if p == nil {
			if len(r.parts) >= maxParts {
				clear(r.parts)
			}
			p = &partly{map[int]bool{}, parts}
			r.parts[id.Sequence] = p
		}
		if p.seen[id.Part] = true; len(p.seen) < p.of {
			return
		}
		delete(r.parts, id.Sequence)
	}
	seq := id.Sequence
	after := i > 0 && r.list[i-1].last+1 == seq
	before := i < len(r.list) && r.list[i].first == seq+1
	switch {
	case after && before:
		r.list[i-1].last = r.list[i].last
		r.list = slices.Delete(r.list, i, i+1)
	case after:
		r.list[i-1].last = seq
	case before:
		r.list[i].first = seq
	default:
		if r.list = slices.Insert(r.list, i, span{seq, seq}); len(r.list) > maxRuns {
			r.list = slices.Delete(r.list, 0, 1)
		}
	}
}

// find is the index of the first run that ends at or after seq, and whether it holds it.
func (r *runs) find(seq uint64) (int, bool) {
	if n := len(r.list); n == 0 || r.list[n-1].last < seq {
		return n, false
	}
	i, _ := slices.BinarySearchFunc(r.list, seq, func(s span, seq uint64) int {
		if s.last < seq {
			return -1
		}
		return 1
	})
	return i, r.list[i].first <= seq
}
