package tag

import (
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// walk puts the samples of a good scrape through their plan, in place, and takes what they tell of versions to t, which may be nil.
func (e *Enricher) walk(c *compiled, p *plan, st *state, s *collector.Snapshot, t *teller) {
	sh := &st.shape
	e.settle(c, p, sh, s)
	w, _ := e.walkers.Get().(*walker)
	if w == nil {
		w = &walker{}
	}
	w.begin(e, p, sh, s)
	kept := kept{all: s.Samples}
	changed := false
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
		if t != nil && d.tells {
			t.sample(smp, s.Time)
		}
		if d.do == keep && r.why == onTheWire {
			kept.keep(i)
			continue
		}
		if d.do == drop {
			changed = true
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
		changed = true
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
	sh.last = s.Time
	if changed {
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
	w.pending, w.dropped, w.noRoom, w.missed = 0, 0, 0, false
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
		if !remember && r.why == onTheWire && w.p.limits.Target > 0 && d.do == keep && !sh.gone.has(d.unique) && e.roomFor(&sh.gone) {
			sh.gone.add(d.unique) // no row stands for it
		}
	}
	if !remember {
		r.def = d
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

// add counts what a sample has grown by.
func (w *walker) add(smp *collector.Sample, r *result) {
	switch {
	case r.again:
		w.s.Duplicates++ // the first counts
		return
	case r.count == nil:
		return // no room
	}
	now, ok := parseNumber(smp.Value)
	if !ok {
		w.s.Nonfinite++ // what it was last stays: it is no other counter for that
		return
	}
	c := r.count
	before, had := c.number(), c.valued
	c.set(now)
	if smp.Kind == collector.Untyped && !r.def.counter {
		w.e.leftOut[smp.Kind].Inc()
		return
	}
	t := &w.sums[c.group]
	if !t.on {
		t.on = true
		w.touched = append(w.touched, c.group)
	}
	switch {
	case had:
		t.add(before, now)
	case r.fresh && !w.sh.missed: // else it may have been there before, unseen
		t.all(now)
	}
}

func (c *count) set(n number) { c.bits, c.float, c.valued = n.bits, n.float, true }

// emit appends a sample for each sum. There are never more of them than samples that went into them, so the slice does not grow.
func (w *walker) emit(kept *kept, since time.Duration) {
	if len(w.touched) == 0 {
		return
	}
	groups := w.sh.groups
	if w.moved {
		groups = w.new.groups
	}
	// One text holds all numbers: one allocation a snapshot.
	w.buf, w.ends = w.buf[:0], w.ends[:0]
	for _, g := range w.touched {
		var ok bool
		if w.buf, ok = w.sums[g].append(w.buf); !ok {
			w.s.Nonfinite++
		}
		w.ends = append(w.ends, len(w.buf))
	}
	text, at := string(w.buf), 0
	for i, g := range w.touched {
		if v := text[at:w.ends[i]]; v != "" {
			kept.add(collector.Sample{Name: groups[g].name, Kind: collector.Delta, Labels: groups[g].labels, Value: v, Since: since})
		}
		at = w.ends[i]
	}
}

// end makes the shape that of this body, and tells of what was left out.
func (w *walker) end() {
	e, sh := w.e, w.sh
	if w.dropped > 0 {
		e.dropped.Add(w.dropped)
	}
	if w.noRoom > 0 {
		e.noRoom.Add(w.noRoom)
		if !sh.full {
			sh.full = true
			e.log.Warn("no room for the series of an instance under the rules; its sums are incomplete", "instance", w.s.Instance.Key.String(), "series", len(sh.rows), "limit_bytes", e.states.limit)
		}
	}
	sh.missed = w.missed
	if w.leftOut != [noMemory + 1]int{} {
		e.exceeded(w)
	}
	w.example = ""
	if !w.moved && w.at == len(sh.rows) {
		return
	}
	gone := w.rank[:0] // rows that this body has not
	if w.moved {
		for i, used := range w.used {
			if !used {
				gone = append(gone, int32(i))
			}
		}
	} else {
		for i := w.at; i < len(sh.rows); i++ {
			gone = append(gone, int32(i))
		}
	}
	w.rank = gone
	if len(gone) > 0 {
		w.forget(gone)
	}
	if w.moved {
		sh.rows, sh.counts, sh.groups = fit(sh.rows, w.new.rows), fit(sh.counts, w.new.counts), fit(sh.groups, w.new.groups)
		if sh.left = fit(sh.left, w.new.left); len(sh.left) == 0 {
			sh.left = nil
		} else {
			for len(sh.left) < len(sh.rows) {
				sh.left = append(sh.left, onTheWire)
			}
		}
	} else {
		clear(sh.rows[w.at:])
		sh.rows, sh.counts = sh.rows[:w.at], sh.counts[:w.k]
		if sh.left != nil {
			sh.left = sh.left[:w.at]
		}
	}
	if len(gone) > 0 && len(sh.groups) > 0 {
		w.compact()
	}
	clear(w.new.rows)
	clear(w.new.groups)
	clear(w.fresh)
	clear(w.groups)
	e.weigh(sh)
}

// forget gives back rows of the shape before. They were seen today, and so are not new when they come back.
func (w *walker) forget(gone []int32) {
	e, sh := w.e, w.sh
	var n int64
	sh.book.of.mu.Lock()
	for _, i := range gone {
		d := sh.rows[i]
		if w.p.limits.Target > 0 && d.do == keep && sh.why(int(i)) == onTheWire && !sh.gone.has(d.unique) && e.roomFor(&sh.gone) {
			sh.gone.add(d.unique)
		}
		n += sh.book.release(d)
	}
	sh.book.of.mu.Unlock()
	e.states.bytes.Add(-n)
}

// compact leaves out the groups that no row goes into any more.
func (w *walker) compact() {
	sh := w.sh
	to := w.rank[:0]
	for range sh.groups {
		to = append(to, -1)
	}
	n := int32(0)
	for i := range sh.counts {
		g := sh.counts[i].group
		if to[g] < 0 {
			to[g] = 0
			n++
		}
	}
	w.rank = to
	if int(n) == len(sh.groups) {
		return
	}
	n = 0
	for g := range to {
		if to[g] == 0 {
			to[g] = n
			sh.groups[n] = sh.groups[g]
			n++
		}
	}
	clear(sh.groups[n:])
	sh.groups = sh.groups[:n]
	for i := range sh.counts {
		sh.counts[i].group = to[sh.counts[i].group]
	}
}

// fit copies a list over another, in the memory of that where it is neither too small nor far too large.
func fit[T any](over, list []T) []T {
	if cap(over) < len(list) || cap(over) > 2*len(list)+64 {
		over = nil
		if len(list) > 0 {
			over = make([]T, 0, len(list)+len(list)/8)
		}
	}
	n := len(over)
	over = append(over[:0], list...)
	if n > len(over) {
		clear(over[len(over):n])
	}
	return over
}

// kept shortens a slice of samples in place. A sample is large: one that stays where it is is not copied.
type kept struct {
	all []collector.Sample
	n   int
}

func (k *kept) keep(i int) {
	if k.n != i {
		k.all[k.n] = k.all[i]
	}
	k.n++
}

func (k *kept) add(s collector.Sample) {
	k.all[k.n] = s
	k.n++
}

func (k *kept) end() []collector.Sample {
	clear(k.all[k.n:])
	return k.all[:k.n]
}
