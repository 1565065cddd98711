package dashboards

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Change is something that was different from before: an event, or a figure that moved.
type Change struct {
	T       int64   `json:"t"` // Unix ms
	Kind    string  `json:"kind"`
	Service string  `json:"service"` // empty: of the fleet
	Env     string  `json:"env"`
	Text    string  `json:"text"`
	N       int     `json:"n,omitempty"` // how many instances it happened to
	Score   float64 `json:"score"`       // how telling it is; only for the order
}

const (
	// changeBack is how long before a moment a change may lie to be told with it, changeOn how long after: what is measured lags behind what is done.
	changeBack = 2 * time.Minute
	changeOn   = 10 * time.Second
	maxChanged = time.Hour // how long a span is looked through
	maxChanges = 10
	// usualFor is what a figure is compared with.
	usualFor = 10 * time.Minute
)

// tellingKinds is how much an event of a kind explains.
var tellingKinds = map[string]float64{EventDeploy: 10, EventVersion: 9, EventConfig: 10, EventFlag: 10, EventRemark: 6, EventOrder: 4, EventRestart: 6, EventLeave: 5, EventState: 4, EventJoin: 3,
	EventGuard: 5, EventCollector: 5}

// Changes is what was different around a moment, or around the beginning of a span and within it (until; zero: none): events of all services, and figures that moved
// from what they were in the ten minutes before and stayed away, the most telling first. What happened to the service itself, and near the moment, counts most; an
// empty service prefers none.
func (b *Board) Changes(service, env string, at, until time.Time, most int) []Change {
	if until.Before(at) {
		until = at
	}
	until = at.Add(min(until.Sub(at), maxChanged))
	from, to := at.Add(-changeBack), until.Add(changeOn)
	var all []Change
	for _, s := range b.all() {
		if !b.owned(s.name, s.env) {
			continue // its owner tells of it
		}
		s.mu.RLock()
		if env == "" || s.env == env {
			near := 1.0
			if s.name == service {
				near = 3
			}
			for _, e := range s.events.told(ms(from), ms(to)) {
				share := 1.0
				if e.Kind == EventJoin || e.Kind == EventLeave || e.Kind == EventState || e.Kind == EventRestart {
					share = math.Sqrt(min(float64(max(e.N, 1))/float64(max(len(s.instances), 1)), 1))
				}
				all = append(all, Change{e.T, e.Kind, s.name, s.env, e.Text, e.N, tellingKinds[e.Kind] * share * near * nearness(e.T, at)})
			}
			all = s.moved(all, at, until, near)
			if s.name == service {
				all = s.movedMetrics(all, at, until)
			}
		}
		s.mu.RUnlock()
	}
	b.eventsElsewhere(ms(from), ms(to), func(name, in string, e Event) {
		if env == "" || in == env {
			near := 1.0
			if name == service {
				near = 3
			}
			all = append(all, Change{e.T, e.Kind, name, in, e.Text, e.N, tellingKinds[e.Kind] * near * nearness(e.T, at)})
		}
	})
	for _, e := range b.toldEvents(from, to) {
		if env != "" && e.Env != "" && e.Env != env {
			continue
		}
		near := 1.0
		if e.Service == service {
			near = 3
		}
		all = append(all, Change{e.At, e.Kind, e.Service, e.Env, e.text(), 0, tellingKinds[e.Kind] * near * nearness(e.At, at)})
	}
	for _, e := range b.fleet.told(ms(from), ms(to)) {
		all = append(all, Change{e.T, e.Kind, "", "", e.Text, e.N, tellingKinds[e.Kind] * nearness(e.T, at)})
	}
	slices.SortStableFunc(all, func(x, y Change) int {
		return cmp.Or(cmp.Compare(y.Score, x.Score), cmp.Compare(y.T, x.T), strings.Compare(x.Service, y.Service), strings.Compare(x.Text, y.Text))
	})
	for i := range all {
		all[i].Score = math.Round(all[i].Score*1000) / 1000
	}
	return all[:min(len(all), most)]
}

// nearness falls off with the time from a moment.
func nearness(t int64, at time.Time) float64 {
	return math.Exp(-math.Abs(float64(t-ms(at))) / float64(changeBack.Milliseconds()))
}

// before is what changed before a finding, apart from what it tells itself.
func (b *Board) before(f *Finding) []Change {
	all := slices.DeleteFunc(b.Changes(f.Service, f.Env, time.UnixMilli(f.Since), time.Time{}, maxChanges+4), func(c Change) bool {
		return contains(f.about(), c.Service) && (c.Kind == "metric" && strings.HasPrefix(c.Text, f.Metric+" ") || f.Metric == "instances" && (c.Kind == EventLeave || c.Kind == EventState)) || c.Score < 0.2
	})
	return all[:min(maxChanges, len(all))]
}

// moved adds the golden signals that stepped away from what they were. The caller holds the lock.
func (s *service) moved(out []Change, at, until time.Time, near float64) []Change {
	g := &s.ring
	if g.width == 0 {
		return out
	}
	counted := float64(g.width) / 1000
	for _, line := range []struct {
		figure
		v []float32
	}{{figure{"rate", "/s", counted}, g.rate}, {figure{"errors", "/s", counted}, g.errs}, {figure{"latency", " ms", 0}, g.lat}} {
		get := func(from, to int64) (v []Point) {
			for k := from / g.width; k <= to/g.width; k++ {
				if g.has(k) {
					if x := float64(line.v[k%g.len()]); !math.IsNaN(x) {
						v = append(v, Point{T: k * g.width, V: x})
					}
				}
			}
			return v
		}
		out = stepped(out, s, line.figure, at, until, near, get)
	}
	return out
}

// figure is what may have moved. What is counted varies by chance as counts do: a point of a rate is what was counted in so many seconds, of one instance
// after the other; 0: it is no count.
type figure struct {
	name, unit string
	counted    float64
}

// stepped adds a figure that moved away from what it was in the ten minutes before, by more than it varies, and that is not back when the span begins: when it
// did, and what it was until it came back.
func stepped(out []Change, s *service, f figure, at, until time.Time, near float64, get func(from, to int64) []Point) []Change {
	begin := ms(at.Add(-changeBack))
	before, after := get(begin-usualFor.Milliseconds(), begin-1), get(begin, ms(until.Add(changeOn)))
	if len(before) < 8 {
		return out
	}
	v := make([]float64, len(before))
	for i := range before {
		v[i] = before[i].V
	}
	m, mad := medianMAD(v)
	least := max(1.4826*mad, 0.02*math.Abs(m), 1e-9)
	spread := func(x float64) float64 {
		if f.counted > 0 {
			return max(least, math.Sqrt(max(m, x, 0)/f.counted))
		}
		return least
	}
	away := func(p Point) bool { return math.Abs(p.V-m) > 3*spread(p.V) }
	still := ms(at) // what is over by then is no change of this
	if !until.After(at) {
		still -= changeOn.Milliseconds()
	}
	for i, first := 0, 0; i < len(after); i = max(i, first+1) {
		first = i
		up := after[i].V > m
		v = v[:0]
		for ; i < len(after) && away(after[i]) && (after[i].V > m) == up; i++ {
			v = append(v, after[i].V)
		}
		if len(v) < 2 || after[i-1].T < still {
			continue
		}
		x := median(v)
		z, ratio := math.Abs(x-m)/spread(x), math.Abs(math.Log((math.Abs(x)+spread(x))/(math.Abs(m)+spread(x))))
		if z < 6 || ratio < 0.2 {
			continue
		}
		t := after[first].T
		return append(out, Change{t, "metric", s.name, s.env, fmt.Sprintf("%s %s%s → %s%s", f.name, digits(m), f.unit, digits(x), f.unit), 0,
			near * min(ratio, 2) * min(z/20, 1) * 2 * nearness(t, at)})
	}
	return out
}

// digits is a number in three of them.
func digits(x float64) string { return string(Num(roundTo(x, 3)).append(nil)) }

func roundTo(x float64, digits int) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	p := math.Pow(10, float64(digits-1)-math.Floor(math.Log10(math.Abs(x))))
	return math.Round(x*p) / p
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return math.NaN()
	}
	return v[len(v)/2]
}

func medianMAD(v []float64) (m, mad float64) {
	m = median(v)
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = math.Abs(x - m)
	}
	return m, median(d)
}

const (
	// maxSampled and maxLooked bound what is read to rank a service's metrics: so many instances speak for all, of so many metrics.
	maxSampled = 24
	maxLooked  = 400
)

// movedMetrics adds the service's other metrics that moved: of totals the increase, of gauges the value, over a sample of its instances. The caller holds the lock.
func (s *service) movedMetrics(out []Change, at, until time.Time) []Change {
	from, to := ms(at)-(changeBack+usualFor).Milliseconds(), ms(until)+changeOn.Milliseconds()
	ins := s.sorted()
	if n := len(ins); n > maxSampled {
		for i := range maxSampled {
			ins[i] = ins[i*n/maxSampled]
		}
		ins = ins[:maxSampled]
	}
	var cols []uint32
	for i := range s.cols {
		if c := &s.cols[i]; c.instances > 0 && c.field == "" && len(c.labels) == 0 && !slices.Contains(s.golden.set.rate, uint32(i)) && !slices.Contains(s.golden.set.errors, uint32(i)) {
			cols = append(cols, uint32(i))
		}
	}
	cols = cols[:min(len(cols), maxLooked)]
	const step = 10_000
	sums, counts := make([][]float64, len(cols)), make([][]float64, len(cols))
	n := int((to-from)/step) + 1
	for i := range cols {
		sums[i], counts[i] = make([]float64, n), make([]float64, n)
	}
	for _, in := range ins {
		pl := make([]int32, len(cols))
		for i, c := range cols {
			pl[i] = -1
			if k, ok := in.index[c]; ok {
				pl[i] = k
			}
		}
		var last scanned
		have := false
		in.scan(from, to, pl, func(r scanned) {
			if k := (r.t - from) / step; have && k >= 0 && int(k) < n && r.follows(&last) {
				for i, c := range cols {
					x := r.vals[i]
					if s.cols[c].rises() {
						if x -= last.vals[i]; x < 0 {
							x = math.NaN()
						}
						x *= 1000 / float64(r.t-last.t)
					}
					if !math.IsNaN(x) {
						sums[i][k] += x
						counts[i][k]++
					}
				}
			}
			vals := append(last.vals[:0], r.vals...)
			last, have = r, true
			last.vals = vals
		})
	}
	for i, c := range cols {
		get := func(a, b int64) (v []Point) {
			for k := max((a-from)/step, 0); k <= (b-from)/step && int(k) < n; k++ {
				if counts[i][k] > 0 {
					v = append(v, Point{T: from + k*step, V: sums[i][k] / counts[i][k]})
				}
			}
			return v
		}
		f := figure{name: s.cols[c].metric}
		if s.cols[c].rises() {
			f.unit, f.counted = "/s", step/1000*float64(len(ins))
		}
		out = stepped(out, s, f, at, until, 2, get)
	}
	return out
}

const (
	calmWithin = 30 * time.Minute // how long before a moment a calm while may lie to be compared with
	calmApart  = 10 * time.Second // from what a finding is about: it begins and ends within what is measured at once
)

// Calm is when the last while of some length ended, before a moment, in which no finding stood about a service, of all that is held of it; the moment itself where
// there is none within half an hour.
func (b *Board) Calm(service, env string, before time.Time, length time.Duration) time.Time {
	type span struct{ from, to int64 }
	var troubles []span
	for _, f := range b.Findings() {
		if f.Env != env || f.Metric == MetricCanary || !contains(f.about(), service) { // a verdict stands for as long as its cohorts do
			continue
		}
		s := span{f.Since - calmApart.Milliseconds(), math.MaxInt64}
		if f.Ended != nil {
			s.to = *f.Ended + calmApart.Milliseconds()
		}
		troubles = append(troubles, s)
	}
	slices.SortFunc(troubles, func(x, y span) int { return cmp.Compare(y.from, x.from) })
	end := ms(before)
	for again := true; again; { // one may have lasted through others
		again = false
		for _, t := range troubles {
			if t.from < end && t.to > end-length.Milliseconds() {
				end, again = t.from, true
			}
		}
	}
	if begin := end - length.Milliseconds(); begin < ms(before.Add(-calmWithin-length)) || end < ms(before) && begin < b.Holds(service, env) {
		return before
	}
	return time.UnixMilli(end)
}
