package tag

import (
	"github.com/rollcall-metrics/rollcall/collector"
)

// walk puts the samples of a good scrape through their plan, in place, and takes what they tell of versions to t, which may be nil.
func (e *Enricher) walk(c *compiled, p *plan, st *state, s *collector.Snapshot, t *teller) {
	sh := &st.shape
	e.settle(c, p, sh, s)
	if sh.left == nil && sh.same.is(e.states.secret, s.Samples) {
		if t != nil {
			for _, i := range sh.same.tells {
				t.sample(&s.Samples[i], s.Time)
			}
		}
		sh.extra, sh.missed, sh.last = 0, false, s.Time
		return
	}
	w, _ := e.walkers.Get().(*walker)
	if w == nil {
		w = &walker{}
	}
	w.begin(e, p, sh, s)
	kept := kept{all: s.Samples}
	for i := range s.Samples {
		smp := &s.Samples[i]
		if w.quick && w.at < len(sh.rows) { // most samples of most bodies
			if d := sh.rows[w.at]; d.quick && d.is(smp) {
				w.at++
				kept.keep(i)
				continue
			}
		}
		r := w.next(smp)
		d := r.def
		if d.tells {
			if t != nil {
				t.sample(smp, s.Time)
			}
			if len(w.tells) <= mostTelling {
				w.tells = append(w.tells, int32(i))
			}
		}
		if d.do == keep && r.why == onTheWire {
			kept.keep(i)
			continue
		}
		w.changed = true
		if d.do == drop {
			w.rules = true
			w.dropped++
			continue
		}
		if r.why != onTheWire {
			w.leftOut[r.why]++
			if d.do == add && r.count != nil && !r.again {
				if now, ok := parseNumber(smp.Value); ok {
					r.count.set(now)
				}
			}
			continue
		}
		w.rules = true
		switch d.do {
		case rename:
			smp.Name, smp.Labels = d.out.name, d.out.labels
			kept.keep(i)
		case refuse:
			e.leftOut[smp.Kind].Inc()
		case add:
			w.add(smp, &r)
		}
	}
	if !sh.last.IsZero() {
		w.emit(&kept, max(0, s.Time.Sub(sh.last)))
	}
	s.Samples = kept.end()
	w.end()
	w.agreed(s.Samples)
	sh.last = s.Time
	if w.rules {
		s.RulesHash = c.hash
	}
	e.walkers.Put(w)
}

// walker is the scratch of one walk along a body and the shape before it.
type walker struct {
	e  *Enricher
	p  *plan
	sh *shape
	s  *collector.Snapshot

	at, k int  // the row and the count that should come next
	quick bool // no row is left out, and none has moved

	changed bool    // not every series goes on as it is
	rules   bool    // by rules
	tells   []int32 // samples that tell of a version, a track or a start

	// From the first sample that is not the row that should come next, the shape is made anew.
	moved  bool
	new    shape
	used   []bool  // rows that were met
	rank   []int32 // the counts before each row
	fresh  []*def  // series that the shape before had not
	why    []past  // why they are left out
	index  []int32 // rows, and behind them fresh, by hash; -1: free
	groups map[*output]int32

	pending int64 // bytes of rows that are not on the account yet

	sums    []sum
	touched []int32
	buf     []byte
	ends    []int

	dropped int
	noRoom  int
	missed  bool
	unknown int // samples of series that are not remembered
	bare    [drop + 1]def
	leftOut [noMemory + 1]int
	example string // the first series that was left out anew
}

// result is what is known of a sample's series.
type result struct {
	def   *def
	count *count // nil where nothing is summed, or remembered
	why   past
	again bool // twice in this body
	fresh bool // not in the last good one
}

func (w *walker) begin(e *Enricher, p *plan, sh *shape, s *collector.Snapshot) {
	w.e, w.p, w.sh, w.s = e, p, sh, s
	w.at, w.k, w.moved, w.quick = 0, 0, false, sh.left == nil
	w.changed, w.rules, w.tells = false, false, w.tells[:0]
	w.pending, w.dropped, w.noRoom, w.missed, w.unknown = 0, 0, 0, false, 0
	sh.extra = 0
	w.leftOut = [noMemory + 1]int{}
	w.sums = w.sums[:0]
	w.touched = w.touched[:0]
	for range sh.groups {
		w.sums = append(w.sums, sum{})
	}
}

// next finds the series of the next sample.
func (w *walker) next(smp *collector.Sample) (r result) {
	sh := w.sh
	if w.at >= len(sh.rows) || !sh.rows[w.at].is(smp) || w.moved && w.used[w.at] {
		return w.search(smp)
	}
	at := w.at
	r.def = sh.rows[at]
	if sh.left != nil {
		r.why = sh.left[at]
	}
	w.at++
	if r.def.do == add {
		r.count = &sh.counts[w.k]
		w.k++
	}
	if w.moved {
		w.take(at, &r)
	}
	return r
}

// take puts a row of the shape before into the new one.
func (w *walker) take(at int, r *result) {
	w.used[at] = true
	w.row(r.def, r.why)
	if r.count != nil {
		w.new.counts = append(w.new.counts, *r.count)
		r.count = &w.new.counts[len(w.new.counts)-1]
	}
}

func (w *walker) row(d *def, why past) {
	w.new.rows = append(w.new.rows, d)
	if why != onTheWire || w.new.left != nil {
		w.new.leave(len(w.new.rows)-1, why)
	}
}

// search looks for a series that is not where it was.
func (w *walker) search(smp *collector.Sample) (r result) {
	if !w.moved {
		w.move()
	}
	sh := w.sh
	i := w.at + 1 // one has gone, or another has taken its place
	if i >= len(sh.rows) || w.used[i] || !sh.rows[i].is(smp) {
		h := hashSample(w.e.states.seed, smp)
		var found bool
		switch i, found = w.find(h, smp); {
		case !found:
			return w.learn(h, i, smp)
		case i >= len(sh.rows):
			i -= len(sh.rows)
			return result{def: w.fresh[i], why: w.why[i], again: true}
		}
	}
	r.def, r.why = sh.rows[i], sh.why(i)
	if w.used[i] {
		r.again = true
		return r
	}
	w.at, w.k = i+1, int(w.rank[i])
	if r.def.do == add {
		r.count = &sh.counts[w.k]
		w.k++
	}
	w.take(i, &r)
	return r
}

// move begins a new shape behind what has gone as it should.
func (w *walker) move() {
	sh := w.sh
	w.moved, w.quick = true, false
	n := &w.new
	n.rows = append(n.rows[:0], sh.rows[:w.at]...)
	n.counts = append(n.counts[:0], sh.counts[:w.k]...)
	n.left = n.left[:0]
	if sh.left != nil {
		n.left = append(n.left, sh.left[:w.at]...)
	} else {
		n.left = nil
	}
	n.groups = append(n.groups[:0], sh.groups...)
	w.fresh, w.why, w.used, w.rank = w.fresh[:0], w.why[:0], w.used[:0], w.rank[:0]
	clear(w.groups)
	size := 16
	for size < 2*(len(sh.rows)+len(w.s.Samples)) {
		size *= 2
	}
	if cap(w.index) < size {
		w.index = make([]int32, size)
	}
	w.index = w.index[:size]
	for i := range w.index {
		w.index[i] = -1
	}
	k := int32(0)
	for i, d := range sh.rows {
		w.used = append(w.used, i < w.at)
		w.rank = append(w.rank, k)
		if d.do == add {
			k++
		}
		at := d.hash & uint64(size-1)
		for w.index[at] >= 0 {
			at = (at + 1) & uint64(size-1)
		}
		w.index[at] = int32(i)
	}
}

// find is the row of a series, or its number behind the rows among the fresh ones, or where in the index it belongs.
func (w *walker) find(h uint64, smp *collector.Sample) (i int, found bool) {
	mask := uint64(len(w.index) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		n := int(w.index[at])
		if n < 0 {
			return int(at), false
		}
		var d *def
		if n < len(w.sh.rows) {
			d = w.sh.rows[n]
		} else {
			d = w.fresh[n-len(w.sh.rows)]
		}
		if d.hash == h && d.is(smp) {
			return n, true
		}
	}
}

// learn takes a series in that the shape before had not; at is its place in the index.
func (w *walker) learn(h uint64, at int, smp *collector.Sample) (r result) {
	e, sh, b := w.e, w.sh, w.sh.book
	full := !e.room(w.pending+8, false)
	if full {
		if r, ok := w.recall(h, smp); ok {
			return r
		}
	}
	r.fresh = true
	var like *def
	if n := len(w.new.rows); n > 0 {
		like = w.new.rows[n-1]
	}
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	d := b.find(h, smp)
	known := d != nil
	if !known {
		d = b.define(e.states.seed, h, smp, like)
	}
	need := w.pending + 8
	if d.do == add {
		need += 16
	}
	if !known {
		need += d.bytes()
	}
	remember := e.room(need, d.do == add)
	if w.p.limits != (Limits{}) && d.do.seen() {
		if r.why = e.admit(sh, b.of, d, w.p.limits); r.why != onTheWire && w.example == "" {
			w.example = seriesText(smp)
		}
		if !remember && r.why == onTheWire {
			e.unrowed(sh, d, w.p.limits)
		}
	}
	if !remember {
		r.def = d
		w.unknown++
		e.recall.put(h^b.salt, recallOf(d, b.of.countedOn(d)))
		if d.do == add {
			w.missed = true
			if r.why == onTheWire {
				w.noRoom++
			}
		}
		return r
	}
	if !known {
		e.states.bytes.Add(b.put(d))
	}
	d.refs++
	r.def = d
	w.index[at] = int32(len(sh.rows) + len(w.fresh))
	w.fresh, w.why = append(w.fresh, d), append(w.why, r.why)
	w.row(d, r.why)
	w.pending += 8
	if d.do == add {
		w.pending += 16
		w.new.counts = append(w.new.counts, count{group: w.group(d.out)})
		r.count = &w.new.counts[len(w.new.counts)-1]
	}
	return r
}

// group is the place of an output among the groups of the new shape.
func (w *walker) group(o *output) int32 {
	if w.groups == nil {
		w.groups = map[*output]int32{}
	}
	if len(w.groups) == 0 {
		for i, o := range w.new.groups {
			w.groups[o] = int32(i)
		}
	}
	g, ok := w.groups[o]
	if !ok {
		g = int32(len(w.new.groups))
		w.groups[o] = g
		w.new.groups = append(w.new.groups, o)
		w.sums = append(w.sums, sum{})
	}
	return g
}
