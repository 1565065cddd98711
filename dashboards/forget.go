package dashboards

import (
	"fmt"
	"math"
	"time"

	"github.com/rollcall-metrics/rollcall/collector"
)

// A service that is deployed with ever new names must not grow without end. A name that no value of the window has any more is forgotten; where there are as many names as
// may be, those go that nobody says now, with their values, and it is told whose and how many. What they were by the minute stays in the history, as long as that does.
const (
	forgetEvery = time.Minute
	// leastForgotten is how many names must be gone, of an instance or a service, and one in eight of its names, for them to be taken out: it costs a walk through all of it.
	leastForgotten = 16
	// forgottenFor is how long it is told that names had to go, or that there were too many.
	forgottenFor = 10 * time.Minute
)

// NamesGone is what the limit of names took from a service.
type NamesGone struct {
	Names   uint64 `json:"names"`   // forgotten before their values were too old
	Values  uint64 `json:"values"`  // that they had
	Service string `json:"service"` // the last one that lost some
	Name    string `json:"name"`    // one of them
	At      int64  `json:"at"`      // Unix ms
}

// forget takes out the names that nothing says any more. The caller holds the lock.
func (s *service) forget(o *Options, now int64) {
	full := s.dropped > s.droppedTold
	if full {
		s.droppedTold, s.overAt = s.dropped, now
	}
	if now-s.forgetAt < forgetEvery.Milliseconds() && !full {
		return
	}
	s.forgetAt = now
	if full { // what nobody says now makes room
		said := make([]bool, len(s.cols))
		for _, in := range s.instances {
			for c, yes := range in.said(false) {
				if yes {
					said[in.cols[c]] = true
				}
			}
		}
		for _, in := range s.instances {
			keep := make([]bool, len(in.cols))
			gone := 0
			for c, n := range in.cols {
				if keep[c] = said[n]; !keep[c] {
					gone++
				}
			}
			if gone > 0 {
				s.namesGone.Values += s.shed(in, keep)
			}
		}
	}
	for _, in := range s.instances {
		if keep := in.said(true); keep != nil {
			s.shed(in, keep)
		}
	}
	free := 0
	for i := range s.cols {
		if s.cols[i].instances == 0 {
			free++
		}
	}
	if full && free > 0 {
		for i := range s.cols {
			if s.cols[i].instances == 0 {
				s.namesGone.Name = s.cols[i].raw
				break
			}
		}
		s.namesGone.Names += uint64(free)
		s.namesGone.Service, s.namesGone.At = s.group(), now
	}
	if free > 0 && (full || free >= leastForgotten && free*8 >= len(s.cols)) {
		s.renumber()
	}
}

// said reports of each of the instance's columns whether it has a value: in its newest rows, or, with all, in any. With all it is nil where too few have none.
func (in *instance) said(all bool) []bool {
	out := make([]bool, len(in.cols))
	left := len(out)
	mark := func(c int) {
		if !out[c] {
			out[c] = true
			left--
		}
	}
	enough := func() bool { return left < leastForgotten || left*8 < len(out) }
	rows := func(rs []row) {
		for i := len(rs) - 1; i >= 0; i-- {
			for c, x := range rs[i].v {
				if !math.IsNaN(x) {
					mark(c)
				}
			}
		}
	}
	rows(in.head)
	rows(in.late)
	if !all {
		return out
	}
	for i := len(in.blocks) - 1; i >= 0 && !enough(); i-- {
		b := &in.blocks[i]
		for c := range b.cols {
			if out[c] {
				continue
			}
			if col, err := packed(b.data, metaColumns+c); err != nil || col[0]&modeMask != modeAbsent {
				mark(c)
			}
		}
	}
	if enough() {
		return nil
	}
	return out
}

// shed takes columns out of an instance, with what values they have, and gives how many values that were, at most.
func (s *service) shed(in *instance, keep []bool) (values uint64) {
	to := make([]int32, len(keep))
	cols, state := make([]uint32, 0, len(keep)), make([]colState, 0, len(keep))
	in.index = map[uint32]int32{}
	for c, n := range in.cols {
		if to[c] = -1; keep[c] {
			to[c] = int32(len(cols))
			in.index[n] = to[c]
			cols, state = append(cols, n), append(state, in.state[c])
			continue
		}
		s.leave(&s.cols[n], in.state[c].vote)
	}
	for _, rows := range [2][]row{in.head, in.late} {
		for i := range rows {
			var v []float64
			for c, x := range rows[i].v {
				if to[c] >= 0 {
					v = padTo(v, int(to[c])+1)
					v[to[c]] = x
				} else if !math.IsNaN(x) {
					values++
				}
			}
			rows[i].v = v
		}
	}
	for i := range in.blocks {
		b := &in.blocks[i]
		var lens []int
		var body []byte
		kept := 0
		for c := range metaColumns + b.cols {
			if c >= metaColumns && to[c-metaColumns] < 0 {
				if col, err := packed(b.data, c); err == nil && col[0]&modeMask != modeAbsent {
					values += uint64(b.rows)
				}
				continue
			}
			col, err := packed(b.data, c)
			if err != nil {
				col = []byte{modeAbsent}
			}
			if c >= metaColumns {
				kept++
			}
			lens, body = append(lens, len(col)), append(body, col...)
		}
		b.data, b.cols = assembled(lens, body), kept
	}
	in.cols, in.state = cols, state
	in.planSeq, in.planCols, in.planAt = 0, -1, nil
	in.shut()
	return values
}

// leave takes one instance's vote out of a column.
func (s *service) leave(col *column, vote collector.Kind) {
	was := col.kindNow()
	col.instances--
	switch vote {
	case collector.Counter:
		col.counters--
	case collector.Gauge:
		col.gauges--
	}
	s.goldenStale = s.goldenStale || col.kindNow() != was
}

// renumber takes the columns out that no instance has. Whoever holds the number of one finds it by its name afterwards.
func (s *service) renumber() {
	to := make([]uint32, len(s.cols))
	cols := make([]column, 0, len(s.cols))
	for n := range s.cols {
		if to[n] = math.MaxUint32; s.cols[n].instances > 0 {
			to[n] = uint32(len(cols))
			cols = append(cols, s.cols[n])
		}
	}
	s.cols = cols
	for k, n := range s.byKey {
		if to[n] == math.MaxUint32 {
			delete(s.byKey, k)
		} else {
			s.byKey[k] = to[n]
		}
	}
	for _, in := range s.instances {
		in.index = make(map[uint32]int32, len(in.cols))
		for c := range in.cols {
			in.cols[c] = to[in.cols[c]]
			in.index[in.cols[c]] = int32(c)
		}
		in.planSeq, in.planCols, in.planAt = 0, -1, nil
	}
	s.known, s.goldenStale, s.renumbered = nil, true, true
	s.numbering++
}

// now is the place of a column among the instance's, whatever number it had when c was made. The caller holds the lock.
func (c *RawColumn) now(s *service, in *instance) (at int32, ok bool) {
	n := c.number
	if c.numbering != s.numbering {
		if n, ok = s.byKey[string(columnKey(nil, c.Name, c.Labels, c.Field))]; !ok {
			return 0, false
		}
	}
	at, ok = in.index[n]
	return at, ok
}

// tooManyNames tells of names that had to go, and of services that have more than may be. The caller holds the Board's lock.
func (b *Board) tooManyNames() (out []Exception) {
	if g := &b.namesGone; g.At > 0 && b.asOf.UnixMilli()-g.At < forgottenFor.Milliseconds() {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("Names that %s does not say any more made room for new ones before their time, %s among them: it has more than %d names within the window", g.Service, clip(g.Name, 60), b.opts.MaxColumns), ""})
	}
	if b.overNames != "" {
		out = append(out, Exception{LevelWarn, fmt.Sprintf("%s says more than %d names at once: those beyond are not shown", b.overNames, b.opts.MaxColumns), ""})
	}
	return out
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
