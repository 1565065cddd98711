package dashboards

import (
	"math"

	"github.com/rollcall-metrics/rollcall/collector"
)

// infer compares a new row with the good one before: it finds resets, and learns of untyped numbers whether they count or measure.
//
// A value that is an integer and has never gone down over 4 scrapes with at least one rise is a counter candidate. A drop to at most the usual
// increase, or together with an uptime that went down, or with half of the instance's counters, is a reset; any other drop makes it a gauge for good.
func (s *service) infer(in *instance, prev, w *row) {
	if prev != nil {
		had, fell := 0, 0
		for c := range min(len(prev.v), len(w.v)) {
			a, b := prev.v[c], w.v[c]
			if math.IsNaN(a) || math.IsNaN(b) {
				continue
			}
			col := &s.cols[in.cols[c]]
			if col.uptime && b < a {
				w.flags |= flagReset
			}
			if a > 0 && (col.kind == collector.Counter || col.kind == collector.Untyped && in.state[c].vote == collector.Counter) {
				had++
				if b < a {
					fell++
				}
			}
		}
		if fell > 0 && 2*fell >= had {
			w.flags |= flagReset
		}
		if w.flags&flagReset != 0 && s.settled(w.t) {
			s.events.add(happening{w.t, EventRestart, "", in.name()})
		}
	}
	for c := range w.v {
		col, st := &s.cols[in.cols[c]], &in.state[c]
		if col.kind != collector.Untyped || st.vote == collector.Gauge || math.IsNaN(w.v[c]) {
			continue
		}
		x := w.v[c]
		if x != math.Trunc(x) || x < 0 {
			s.vote(col, st, collector.Gauge)
			continue
		}
		if prev == nil || math.IsNaN(prev.at(int32(c))) {
			st.seen = max(st.seen, 1)
			continue
		}
		step := x - prev.v[c]
		switch {
		case step < 0 && w.flags&flagReset == 0 && x > 2*float64(st.usual):
			s.vote(col, st, collector.Gauge)
			continue
		case step < 0:
			step = x
		}
		if step > 0 {
			st.rose = true
			if st.usual == 0 {
				st.usual = float32(step)
			}
			st.usual += (float32(step) - st.usual) / 8
		}
		if st.seen < 255 {
			st.seen++
		}
		if st.seen >= 4 && st.rose && st.vote == collector.Untyped {
			s.vote(col, st, collector.Counter)
		}
	}
}

// vote counts what an instance now takes the column for.
func (s *service) vote(col *column, st *colState, k collector.Kind) {
	was := col.kindNow()
	if st.vote == collector.Counter {
		col.counters--
	}
	if k == collector.Counter {
		col.counters++
	} else {
		col.gauges++
	}
	st.vote = k
	s.goldenStale = s.goldenStale || col.kindNow() != was
}
