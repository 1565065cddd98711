package export

import (
	"container/list"
	"math"
	"slices"

	"github.com/rollcall-metrics/rollcall/sink/wire"
)

// memory knows which ids were delivered: of each collector's start in a partition the sequences as runs. Both lanes together have each sequence once, so the runs of
// a stream are few: one that grows, and one for each hole that the other lane has still to fill. It is bounded: past its bounds it forgets the oldest, and what comes
// of that again is delivered again.
type memory struct {
	streams map[stream]*list.Element // of *runs
	lately  list.List                // of *runs, the one that was looked at last in front
}

// IDs is a set of ids within the bounds of a memory: past them it forgets the oldest. The zero value is empty.
type IDs struct{ m *memory }

// Add puts an id into the set.
func (s *IDs) Add(id wire.ID) {
	if s.m == nil {
		s.m = newMemory()
	}
	s.m.add(id, math.MaxInt)
}

// Len is how many ids of whole records are in the set.
func (s *IDs) Len() (n uint64) {
	if s.m == nil {
		return 0
	}
	for e := s.m.lately.Front(); e != nil; e = e.Next() {
		for _, run := range e.Value.(*runs).list {
			n += run.last - run.first + 1
		}
	}
	return n
}

// Has reports whether an id is in the set.
func (s *IDs) Has(id wire.ID) bool { return s.m != nil && s.m.has(id) }

type stream struct {
	collector, start uint64
	partition        int32
}

type runs struct {
	of    stream
	list  []span
	parts map[uint64]*partly // records in parts, of which not all were delivered
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

func newMemory() *memory { return &memory{streams: map[stream]*list.Element{}} }

func (m *memory) of(id wire.ID) *runs {
	if r := m.look(id); r != nil {
		return r
	}
	if len(m.streams) >= maxStreams { // the stream that was looked at least lately goes
		delete(m.streams, m.lately.Remove(m.lately.Back()).(*runs).of)
	}
	r := &runs{of: stream{id.Collector, id.Start, id.Partition}, parts: map[uint64]*partly{}}
	m.streams[r.of] = m.lately.PushFront(r)
	return r
}

// look finds the stream of an id; nil: nothing of it is known.
func (m *memory) look(id wire.ID) *runs {
	e := m.streams[stream{id.Collector, id.Start, id.Partition}]
	if e == nil {
		return nil
	}
	m.lately.MoveToFront(e)
	return e.Value.(*runs)
}

// has reports whether a record was delivered. parts is of how many it is one; 0: it is whole.
func (m *memory) has(id wire.ID) bool {
	r := m.look(id)
	if r == nil {
		return false
	}
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
