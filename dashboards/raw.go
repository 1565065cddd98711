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

	about     about
	number    uint32
	numbering uint64 // of the service, as the number was given
}

// Unit is what the name says that the values are in: ms, s, bytes, …, or nothing.
func (c *RawColumn) Unit() string { return unitOf(c.Name) }

// about is what a RawColumn tells of: a metric of the application, or the scrape itself.
type about uint8

const (
	aboutMetric about = iota
	aboutAnswer
	aboutTook
	aboutRate
	aboutErrors
	aboutLatency
)

// The lines that an instance has whatever its application calls things, and what they tell. The last three are what the Board takes for the golden signals, those of
// them that the service has: a second, as of the scrape that ends the interval; the latency is the percentile that the service's is, or the mean.
var alwaysNamed = []struct {
	name  string
	about about
}{{"up", aboutAnswer}, {"scrape_duration_seconds", aboutTook},
	{"rollcall_requests_per_second", aboutRate}, {"rollcall_errors_per_second", aboutErrors}, {"rollcall_latency_ms", aboutLatency}}

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

// Raw visits every instance of the services that want says, with those of its columns that keep says; keep is asked once a column and service. Columns that are the
// Board's own come first: "up", 1 where the scrape was good, "scrape_duration_seconds", and the golden signals that the service has, "rollcall_requests_per_second",
// "rollcall_errors_per_second" and "rollcall_latency_ms". visit is called while the service is locked, so it must be quick, and ends the walk by false; what it is given
// may be kept, but for the slice of columns.
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
	for _, own := range alwaysNamed {
		c := &RawColumn{Name: own.name, Kind: collector.Gauge, about: own.about}
		if p := &s.golden; own.about == aboutLatency && p.name != "" {
			c.Labels = []collector.LabelPair{{Name: "is", Value: p.name}}
		}
		if s.golden.tells(own.about) && keep(c) {
			first = append(first, c)
		}
	}
	kept := map[uint32]*RawColumn{}
	for n := range s.cols {
		col := &s.cols[n]
		c := &RawColumn{Name: col.raw, Labels: col.labels, Field: col.field, Kind: col.kindNow(), Window: col.window, number: uint32(n), numbering: s.numbering}
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
	if c.about >= aboutRate {
		return r.goldenPoints(dst, c.about, from, to, known)
	}
	at := tookColumn
	if c.about == aboutMetric {
		var ok bool
		if at, ok = c.now(r.s, r.in); !ok {
			return dst
		}
	}
	line := drawn{dst, len(dst), from, to}
	var last scanned
	have := false
	r.in.scan(from, to, []int32{at}, func(s scanned) {
		if s.outcome == collector.Skipped {
			return // nothing is known of the instance
		}
		if have && s.t-last.t > tooLong(max(last.every, s.every)) {
			line.put(last.t+tooLong(last.every), math.NaN())
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
		line.put(s.t, v)
		last, have = scanned{t: s.t, every: s.every}, true
	})
	if end := last.t + tooLong(max(last.every, r.in.pause())); have && end < known {
		line.put(end, math.NaN())
	}
	return line.points
}

// drawn is a line of points under way.
type drawn struct {
	points   []RawPoint
	begin    int
	from, to int64
}

// put appends a point that lies in the span; of several that are NaN the first, and none at the begin.
func (d *drawn) put(t int64, v float64) {
	ends := math.IsNaN(v)
	if t < d.from || t > d.to || ends && (len(d.points) == d.begin || math.IsNaN(d.points[len(d.points)-1].V)) {
		return
	}
	d.points = append(d.points, RawPoint{t, v})
}

// tells reports whether the service has the signal.
func (p *plan) tells(a about) bool {
	switch a {
	case aboutRate:
		return p.nRate > 0
	case aboutErrors:
		return p.nErrs > p.nRate
	case aboutLatency:
		return p.name != ""
	}
	return true
}

// goldenPoints is Points of a golden signal. The caller holds the lock.
func (r *RawInstance) goldenPoints(dst []RawPoint, a about, from, to, known int64) []RawPoint {
	line := drawn{dst, len(dst), from, to}
	until := int64(0) // the one before speaks
	p := &r.s.golden
	r.s.cells(r.in, p, p.find(r.in, nil), from, to, func(c *cell) {
		if until > 0 && c.to > until {
			line.put(until, math.NaN())
		}
		v := math.NaN()
		switch a {
		case aboutRate:
			v = c.req / c.seconds()
		case aboutErrors:
			v = c.errs / c.seconds()
		case aboutLatency:
			v = c.latency()
		}
		line.put(c.to, v)
		until = c.until
	})
	if until > 0 && until < known {
		line.put(until, math.NaN())
	}
	return line.points
}
