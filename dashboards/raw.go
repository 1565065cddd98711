package dashboards

import (
	"math"

	"github.com/rollcall-metrics/rollcall/collector"
	"github.com/rollcall-metrics/rollcall/discovery"
)

// RawColumn is one line of numbers that instances of a service have, under the name and labels that the application gave it.
type RawColumn struct {
	Name   string // as the application has it, with what stands inside it
	Labels []collector.LabelPair
	Field  string         // of a distribution: count, p99, …; else empty
	Kind   collector.Kind // the declared one, or what behaviour tells; of a native histogram's fields Distribution
	Window collector.Window
	// As and Quantile are for who reads: what keep puts there, visit finds.
	As, Quantile string

	about  about
	number uint32
}

// Unit is what the name says that the values are in: ms, s, bytes, …, or nothing.
func (c *RawColumn) Unit() string { return unitOf(c.Name) }

// about is what a RawColumn tells of: a metric of the application, or the scrape itself.
type about uint8

const (
	aboutMetric about = iota
	aboutAnswer
	aboutTook
)

// RawInstance is one instance as Raw shows it; it may be kept.
type RawInstance struct {
	Service, Env, Instance string
	Tags                   discovery.Tags // of its newest snapshot
	Moves                  []Move         // of its version and its track, oldest first
	Last                   int64          // time of the newest scrape, Unix ms
	s                      *service
	in                     *instance
}

// At is what a tag was at a moment (Unix ms): versions and tracks as they were, all others as they are.
func (r *RawInstance) At(name string, t int64) string {
	v := r.Tags.Get(name)
	for i := len(r.Moves) - 1; i >= 0 && r.Moves[i].T > t; i-- {
		if r.Moves[i].Name == name {
			v = r.Moves[i].Was
		}
	}
	return v
}

// Raw visits every instance of the services that want says, with those of its columns that keep says; keep is asked once a column and service. Two columns about
// the scrape come first: "up", 1 where it was good, and "scrape_duration_seconds". visit is called while the service is locked, so it must be quick, and ends the
// walk by false; what it is given may be kept, but for the slice of columns.
func (b *Board) Raw(want func(service, env string) bool, keep func(*RawColumn) bool, visit func(*RawInstance, []*RawColumn) bool) {
	for _, s := range b.all() {
		if want(s.name, s.env) && !s.raw(keep, visit) {
			return
		}
	}
}

func (s *service) raw(keep func(*RawColumn) bool, visit func(*RawInstance, []*RawColumn) bool) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var first []*RawColumn
	for i, name := range []string{"up", "scrape_duration_seconds"} {
		if c := (&RawColumn{Name: name, Kind: collector.Gauge, about: aboutAnswer + about(i)}); keep(c) {
			first = append(first, c)
		}
	}
	kept := map[uint32]*RawColumn{}
	for n := range s.cols {
		col := &s.cols[n]
		c := &RawColumn{Name: col.raw, Labels: col.labels, Field: col.field, Kind: col.kindNow(), Window: col.window, number: uint32(n)}
		if col.raw != col.metric { // they stand in the name
			c.Labels = nil
		}
		if keep(c) {
			kept[uint32(n)] = c
		}
	}
	if len(kept)+len(first) == 0 {
		return true
	}
	cols := make([]*RawColumn, 0, len(kept)+len(first))
	for _, in := range s.sorted() {
		if in.last == 0 {
			continue // the roster knows it, and nobody has pulled it yet
		}
		cols = append(cols[:0], first...)
		for _, n := range in.cols {
			if c := kept[n]; c != nil {
				cols = append(cols, c)
			}
		}
		if len(cols) == 0 {
			continue
		}
		r := &RawInstance{Service: s.name, Env: s.env, Instance: in.addr, Tags: in.tags, Last: in.last, s: s, in: in}
		for _, m := range in.moves {
			if m.Name == TagVersion || m.Name == TagTrack {
				r.Moves = append(r.Moves, m)
			}
		}
		if !visit(r, cols) {
			return false
		}
	}
	return true
}

// RawPoint is one value. V is NaN where from then on there is none: the scrape failed or did not come, or the name was not in it.
type RawPoint struct {
	T int64 // Unix ms
	V float64
}

// Points appends what the instance said in a column from `from` to `to`, both inclusive (Unix ms), oldest first. A value that is not followed by another in time
// (two and a half intervals, whichever was in force) is followed by one that is NaN; never by two of these.
func (b *Board) Points(dst []RawPoint, r *RawInstance, c *RawColumn, from, to int64) []RawPoint {
	known := b.known(b.now())
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	at := tookColumn
	if c.about == aboutMetric {
		var ok bool
		if at, ok = r.in.index[c.number]; !ok {
			return dst
		}
	}
	begin := len(dst)
	put := func(t int64, v float64) {
		ends := math.IsNaN(v)
		if t < from || t > to || ends && (len(dst) == begin || math.IsNaN(dst[len(dst)-1].V)) {
			return
		}
		dst = append(dst, RawPoint{t, v})
	}
	var last scanned
	have := false
	r.in.scan(from, to, []int32{at}, func(s scanned) {
		if s.outcome == collector.Skipped {
			return // nothing is known of the instance
		}
		if have && s.t-last.t > tooLong(max(last.every, s.every)) {
			put(last.t+tooLong(last.every), math.NaN())
		}
		v := s.vals[0]
		switch {
		case c.about == aboutTook:
			v /= 1000
		case c.about == aboutAnswer && s.outcome == collector.OK:
			v = 1
		case c.about == aboutAnswer:
			v = 0
		case s.outcome != collector.OK:
			v = math.NaN()
		}
		put(s.t, v)
		last, have = scanned{t: s.t, every: s.every}, true
	})
	if end := last.t + tooLong(max(last.every, r.in.pause())); have && end < known {
		put(end, math.NaN())
	}
	return dst
}
