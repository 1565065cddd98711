package dashboards

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rollcall-metrics/rollcall/collector"
)

// origins numbers collectors and terms, so that a row need not hold 16 bytes of them, and decides which of two scrapes of one slot counts. It is the fence: while the
// fleet is divided anew, two collectors may pull an instance in one slot, and what is counted is one of them, whichever came first.
type origins struct {
	mu         sync.RWMutex
	collectors []uint64
	sources    map[uint64]uint16
	terms      []uint64
	ofTerm     map[uint64]uint32

	fenced atomic.Uint64 // scrapes that did not count
}

// maxTerms bounds the terms that are told apart: beyond them the newest are taken for one.
const maxTerms = 100_000

func newOrigins() *origins {
	return &origins{sources: map[uint64]uint16{}, ofTerm: map[uint64]uint32{}}
}

// of is the numbers of a collector and a term.
func (o *origins) of(collector, term uint64) (uint16, uint32) {
	o.mu.RLock()
	s, ok := o.sources[collector]
	n, also := o.ofTerm[term]
	o.mu.RUnlock()
	if ok && also {
		return s, n
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s, ok = o.sources[collector]; !ok {
		s = uint16(len(o.collectors) & 0xffff) // after 65,536 collectors two share a number: a rate across their change, no more
		if len(o.collectors) < 1<<16 {
			o.collectors = append(o.collectors, collector)
		}
		o.sources[collector] = s
	}
	if n, also = o.ofTerm[term]; !also {
		if len(o.terms) == maxTerms {
			return s, maxTerms - 1
		}
		n = uint32(len(o.terms))
		o.terms = append(o.terms, term)
		o.ofTerm[term] = n
	}
	return s, n
}

// beats reports whether of two scrapes of one slot a counts: a pull before one that was only told to be skipped, else the higher term, else the smaller collector,
// and of one collector, which was restarted within the slot, the earlier.
func (o *origins) beats(a, b *row) bool {
	if x, y := a.outcome == collector.Skipped, b.outcome == collector.Skipped; x != y {
		return y
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if x, y := o.terms[a.term], o.terms[b.term]; x != y {
		return x > y
	}
	if a.source == b.source {
		return a.t < b.t
	}
	return o.collectors[a.source] < o.collectors[b.source]
}

// contest reports whether two rows are two scrapes of one slot. Rows of one collector and one moment are parts of one scrape.
func contest(a, b *row) bool {
	return a.slot != 0 && a.slot == b.slot && (a.source != b.source || a.t != b.t)
}

// fence reports whether r counts beside the newest rows, and takes out of them what does not count beside r. A row that is older than they are is looked at by
// fenceLate.
func (in *instance) fence(o *origins, r *row) bool {
	if r.slot == 0 {
		return true
	}
	for i := len(in.head) - 1; i >= 0 && in.head[i].t >= r.slot-int64(r.every); i-- {
		if !contest(r, &in.head[i]) {
			continue
		}
		o.fenced.Add(1)
		if !o.beats(r, &in.head[i]) {
			return false
		}
		if in.head[i].t == in.last {
			in.last = min(in.last, r.t) // what is known of the instance is r's word now
		}
		in.head = slices.Delete(in.head, i, i+1)
	}
	return true
}

// fenceLate takes out of late, which is in order, and out of the rows that were there before, what does not count.
func (in *instance) fenceLate(s *service, p *packer, late []row) []row {
	o := s.origins
	first, last := int64(0), int64(0)
	bySlot := map[int64][]int{}
	out := make([]bool, len(late))
	for i := range late {
		r := &late[i]
		if r.slot == 0 {
			continue
		}
		for _, j := range bySlot[r.slot] {
			if out[i] || out[j] || !contest(r, &late[j]) {
				continue
			}
			o.fenced.Add(1)
			if o.beats(r, &late[j]) {
				out[j] = true
			} else {
				out[i] = true
			}
		}
		bySlot[r.slot] = append(bySlot[r.slot], i)
		if first == 0 || r.slot-int64(r.every) < first {
			first = r.slot - int64(r.every)
		}
		last = max(last, r.slot+2*int64(r.every))
	}
	if len(bySlot) == 0 {
		return late
	}
	// stays reports whether an old row still counts beside the late ones.
	stays := func(old *row) bool {
		for _, i := range bySlot[old.slot] {
			if out[i] || !contest(&late[i], old) {
				continue
			}
			o.fenced.Add(1)
			if o.beats(&late[i], old) {
				return false
			}
			out[i] = true
		}
		return true
	}
	in.head = slices.DeleteFunc(in.head, func(r row) bool { return !stays(&r) })
	for k := 0; k < len(in.blocks); k++ {
		b := &in.blocks[k]
		if b.last < first || b.first > last || !b.touches(bySlot) {
			continue
		}
		rows := b.open()
		n := len(rows)
		if rows = slices.DeleteFunc(rows, func(r row) bool { return !stays(&r) }); len(rows) == n {
			continue
		}
		if len(rows) == 0 {
			in.blocks = slices.Delete(in.blocks, k, k+1)
			k--
			continue
		}
		in.blocks[k] = in.pack(s, p, rows)
	}
	kept := late[:0]
	for i := range late {
		if !out[i] {
			kept = append(kept, late[i])
		}
	}
	return kept
}

// touches reports whether a block has a row of any of the slots, without opening it whole.
func (b *block) touches(slots map[int64][]int) bool {
	var times, into [maxBlockRows]float64
	if unpack(b.data, metaTime, b.rows, times[:]) != nil || unpack(b.data, metaSlot, b.rows, into[:]) != nil {
		return false
	}
	for i := range b.rows {
		if slot := slotOf(times[i], into[i]); slot != 0 && len(slots[slot]) > 0 {
			return true
		}
	}
	return false
}

// slotOf is a row's slot, of which a block keeps how long before the scrape it began.
func slotOf(t, into float64) int64 {
	if into != into { // not a number: it had none
		return 0
	}
	return int64(t - into)
}
