package dashboards

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// Point is one value of a Window.
type Point struct {
	T int64 // Unix ms
	V float64
	// Gap: between this point and the one before lie more than two intervals, or another collector took over; nothing is derived across.
	Gap bool
	// Reset: the application began to count anew between the point before and this one.
	Reset bool
}

// Window is what one instance said under one name over a span of time: the values of its good scrapes, oldest first.
type Window struct {
	Kind   collector.Kind // Counter where differences count; the declared or inferred kind else
	Points []Point
}

// Increase is how much a total grew between two scrapes.
type Increase struct {
	From, To int64 // Unix ms
	By       float64
	Reset    bool // By is at least this much: what was counted before the reset is not known
}

// Increases are the increases between neighbouring points of a total, none across a gap. For deltas they are the values themselves, spread over
// the time since the point before.
func (w *Window) Increases(yield func(Increase) bool) {
	for i, p := range w.Points {
		if i == 0 {
			continue
		}
		q := w.Points[i-1]
		if p.Gap {
			continue
		}
		inc := Increase{From: q.T, To: p.T, By: p.V - q.V, Reset: p.Reset}
		switch {
		case w.Kind == collector.Delta:
			inc.By = p.V
		case p.V < q.V:
			inc.By, inc.Reset = max(p.V, 0), true
		}
		if math.IsNaN(inc.By) || p.T <= q.T {
			continue
		}
		if !yield(inc) {
			return
		}
	}
}

// Window reads what an instance said under one name from `from` to `to`: of a metric (as the application has it, or without labels), or of one field of a
// distribution. ok is false where there is no such thing.
func (b *Board) Window(service, env, instance, metric, field string, from, to time.Time) (w Window, ok bool) {
	s := b.find(service, env)
	if s == nil {
		return w, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	in := s.instances[instance]
	if in == nil {
		return w, false
	}
	for c, n := range in.cols {
		if col := &s.cols[n]; (col.raw == metric && len(col.labels) == 0 || col.raw == metric && col.metric != metric) && col.field == fieldName(field) {
			return in.window(col, int32(c), ms(from), ms(to)), true
		}
	}
	return w, false
}

// scan walks the rows of an instance from `from` to `to` (both inclusive, Unix ms), oldest first, with the values of the columns asked for; a failed
// scrape has none. The newest good row before `from` comes first where there is one, so that the first difference is known. It reads packed blocks
// column by column. vals is reused between calls of fn; a column of number -1 is never there, tookColumn always.
func (in *instance) scan(from, to int64, cols []int32, fn func(scanned)) {
	n := len(cols)
	all := make([]float64, 2*n)
	before := scanned{vals: all[:n:n]} // the newest good row before from
	have := false
	emit := func(s scanned) {
		switch {
		case s.t < from && s.outcome == collector.OK:
			vals := append(before.vals[:0], s.vals...)
			before, have = s, true
			before.vals = vals
		case s.t >= from:
			if have {
				have = false
				fn(before)
			}
			fn(s)
		}
	}
	s := scanned{vals: all[n:]}
	if o := &in.opened; o.rows != nil && o.from <= from && to <= o.to {
		h, _ := slices.BinarySearchFunc(o.rows, from, func(r row, t int64) int { return cmp.Compare(r.t, t) })
		for h > 0 {
			if h--; o.rows[h].outcome == collector.OK {
				break
			}
		}
		scanRows(o.rows[h:], to, cols, &s, emit)
		return
	}
	// Mostly only the newest rows are wanted, and they hold the one before: then no block is opened.
	h := 0
	for i := len(in.head) - 1; i > 0; i-- {
		if in.head[i].t < from && in.head[i].outcome == collector.OK {
			h = i
			break
		}
	}
	k := len(in.blocks)
	if h == 0 {
		k = in.blockBefore(from)
	}
	if k < len(in.blocks) {
		in.scanBlocks(in.blocks[k:], to, cols, &s, emit)
	}
	scanRows(in.head[h:], to, cols, &s, emit)
}

// blockBefore is the last block that begins before a time: only that one can hold the row before it; if all of its rows failed, so be it.
func (in *instance) blockBefore(from int64) (k int) {
	for k+1 < len(in.blocks) && in.blocks[k+1].first < from {
		k++
	}
	return k
}

// scanRows walks rows that are not packed.
func scanRows(rows []row, to int64, cols []int32, s *scanned, emit func(scanned)) {
	for i := range rows {
		r := &rows[i]
		if r.t > to {
			return
		}
		s.t, s.outcome, s.flags, s.source, s.every = r.t, r.outcome, r.flags, r.source, r.every
		for i, c := range cols {
			if s.vals[i] = r.at(c); c == tookColumn {
				s.vals[i] = float64(r.took)
			}
		}
		emit(*s)
	}
}

// opened is the rows of a stretch, unpacked, for who looks at all of it piece by piece.
type opened struct {
	rows     []row
	from, to int64 // whatever is asked for within is there
}

// open unpacks what scan needs from a time to another, until shut.
func (in *instance) open(from, to int64) {
	var rows []row
	for k := in.blockBefore(from); k < len(in.blocks) && in.blocks[k].first <= to; k++ {
		rows = append(rows, in.blocks[k].open()...)
	}
	if rows == nil {
		return // the newest need no unpacking
	}
	for i := range in.head {
		if in.head[i].t <= to {
			rows = append(rows, in.head[i])
		}
	}
	in.opened = opened{rows, from, to}
}

func (in *instance) shut() { in.opened = opened{} }

// scanBlocks walks the rows of packed blocks.
func (in *instance) scanBlocks(blocks []block, to int64, cols []int32, s *scanned, emit func(scanned)) {
	var buf, state, source, every, times [maxBlockRows]float64
	var matrix []float64
	for k := 0; k < len(blocks) && blocks[k].first <= to; k++ {
		b := &blocks[k]
		if unpack(b.data, metaTime, b.rows, times[:]) != nil || unpack(b.data, metaState, b.rows, state[:]) != nil || unpack(b.data, metaSource, b.rows, source[:]) != nil ||
			unpack(b.data, metaEvery, b.rows, every[:]) != nil {
			continue
		}
		matrix = matrix[:0]
		for _, c := range cols {
			at := metaColumns + int(c)
			if c == tookColumn {
				at = metaTook
			} else if c < 0 || int(c) >= b.cols {
				at = -1
			}
			if at < 0 || unpack(b.data, at, b.rows, buf[:]) != nil {
				for r := range b.rows {
					buf[r] = math.NaN()
				}
			}
			matrix = append(matrix, buf[:b.rows]...)
		}
		for r := range b.rows {
			s.t = int64(times[r])
			s.outcome, s.flags, s.source = collector.Outcome(int(state[r])>>8), rowFlags(state[r]), uint16(source[r])
			s.every = int32(every[r])
			if s.t > to {
				break
			}
			for i := range cols {
				s.vals[i] = matrix[i*b.rows+r]
			}
			emit(*s)
		}
	}
}

// tookColumn stands for how long the scrape itself took, in milliseconds, where scan is asked for columns.
const tookColumn int32 = -2

// scanned is one row as scan hands it out.
type scanned struct {
	t       int64
	outcome collector.Outcome
	flags   rowFlags
	source  uint16
	every   int32
	vals    []float64
}

// follows reports whether what happened between r and the good scrape before it may be derived.
func (r *scanned) follows(before *scanned) bool {
	return r.t > before.t && r.source == before.source && r.t-before.t <= tooLong(max(r.every, before.every))
}

// window reads one column of an instance.
func (in *instance) window(col *column, c int32, from, to int64) Window {
	w := Window{Kind: col.kindNow()}
	if col.rises() {
		w.Kind = collector.Counter
	}
	var last scanned
	first := true
	in.scan(from, to, []int32{c}, func(s scanned) {
		if s.outcome != collector.OK {
			return
		}
		gap := !first && !s.follows(&last)
		v := s.vals[0]
		if !math.IsNaN(v) {
			if len(w.Points) == 0 && !first && !gap && col.rises() && in.born(c, s.t) {
				// The total is new since the scrape before: it counts whole.
				w.Points = append(w.Points, Point{T: last.t})
			}
			p := Point{T: s.t, V: v, Reset: s.flags&flagReset != 0}
			if n := len(w.Points); n > 0 {
				p.Gap = gap || s.t-w.Points[n-1].T > tooLong(max(s.every, last.every))
			}
			w.Points = append(w.Points, p)
		}
		last, first = s, false
	})
	return w
}

// born reports whether column c had its first value ever in the scrape at t.
func (in *instance) born(c int32, t int64) bool {
	return c >= 0 && int(c) < len(in.state) && in.state[c].born == t && t > in.begun
}
