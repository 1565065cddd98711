package feed

import (
	"sync"
	"time"

	"github.com/rollcall-metrics/rollcall/discovery"
	"github.com/rollcall-metrics/rollcall/sink/wire"
)

const (
	// publisherLapse is how long a publisher's word keeps out those below it. It publishes each of its services whole every five minutes: who has missed two is gone,
	// and whoever speaks then is believed, be it a lower one.
	publisherLapse = 11 * time.Minute
	// maxRosterParts bounds the parts of a full state: more than a hundred services of the largest fleet.
	maxRosterParts = 10_000
)

// word says who published what is known of a service, and how new it is.
type word struct {
	term, collector, start, version uint64
	ts                              int64 // the newest time of its records, Unix milliseconds
}

// yields reports whether a record is to be passed over because of what is held: a collector's own records count in their order; of two collectors the one of the
// newer division counts, in one division the smaller, for as long as it speaks.
func (r *word) yields(held *word) bool {
	switch {
	case r.collector == held.collector && r.start == held.start:
		return r.version < held.version
	case r.collector == held.collector:
		return r.start < held.start
	case r.ts > held.ts+publisherLapse.Milliseconds():
		return false
	case r.term != held.term:
		return r.term < held.term
	}
	return r.collector > held.collector
}

// rosters is the way of roster records to the Board, of all partitions: while a topic gets more of them a service has records in two.
type rosters struct {
	mu     sync.Mutex
	words  map[[2]string]*word
	open   map[[2]string]*openState
	newest int64 // time of a record
	swept  int64 // newest, when the words were last swept
}

// openState is a full state of which not all parts are there.
type openState struct {
	by      word // of each part
	parts   map[int]bool
	entries []discovery.Entry
}

func newRosters() *rosters {
	return &rosters{words: map[[2]string]*word{}, open: map[[2]string]*openState{}}
}

// board is what takes the records in.
type board interface {
	RosterChange(discovery.Change)
	RosterState(service, env string, entries []discovery.Entry, at time.Time)
}

// add passes a record on, or reports that it is fenced off. Full states in parts are put together; a newer one of the same service drops an unfinished one.
// A time that is to come, of a clock that is wrong, counts as now.
func (s *rosters) add(in *wire.RosterRecord, to board, now time.Time) (fenced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ts := min(in.TS, now.UnixMilli())
	s.sweep(ts)
	key := [2]string{in.Service, in.Env}
	by := word{term: in.Term, collector: in.Collector, start: in.Start, version: in.Version, ts: in.TS}
	w := by
	w.ts = ts
	if held := s.words[key]; held != nil {
		if w.yields(held) {
			return true
		}
		if w.collector == held.collector {
			w.ts = max(w.ts, held.ts)
		}
	}
	s.words[key] = &w
	if !in.Full {
		for _, c := range in.Changes {
			to.RosterChange(c)
		}
		return false
	}
	parts := min(max(in.Parts, 1), maxRosterParts)
	o := s.open[key]
	if o == nil || o.by != by {
		o = &openState{by: by, parts: map[int]bool{}}
		s.open[key] = o
	}
	if o.parts[in.Part] || in.Part < 0 || in.Part > parts {
		return false
	}
	o.parts[in.Part] = true
	for _, c := range in.Changes {
		o.entries = append(o.entries, c.Entry)
	}
	if len(o.parts) >= parts {
		delete(s.open, key)
		to.RosterState(in.Service, in.Env, o.entries, time.UnixMilli(in.TS))
	}
	return false
}

// sweep forgets the words that keep nobody out any more, once in a while.
func (s *rosters) sweep(ts int64) {
	s.newest = max(s.newest, ts)
	if s.newest < s.swept+publisherLapse.Milliseconds() {
		return
	}
	s.swept = s.newest
	for key, w := range s.words {
		if w.ts+publisherLapse.Milliseconds() < s.newest {
			delete(s.words, key)
			delete(s.open, key)
		}
	}
}
